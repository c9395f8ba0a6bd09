//! Issuers with a private certificate authority that the machine's root certificates may contain.

use std::{fmt::Write as _, path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::json;

use super::idp::*;
use crate::{
    bound_tokens::Authority,
    harness::{Caller, reason},
    process::Process,
    tokens::forge::Forge,
};

const UNAVAILABLE: &str = "IDENTITY_PROVIDER_UNAVAILABLE";

/// The TLS settings of a server with a certificate of this authority for this name.
fn tls(authority: &Authority, name: &str) -> ServerConfig {
    let client = authority.client(name);
    let (cert, key) = client.pair();
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap()
}

/// The results of two tokens, whose issuer has a certificate of `authority` for `name`, in a service that
/// trusts `trusted`: one issuer has a `jwks_uri`, one uses discovery. Also the number of key fetches.
async fn results_and_fetches(
    authority: &Authority,
    name: &str,
    trusted: Option<&Authority>,
) -> (Vec<String>, usize) {
    let forge = Forge::new();
    let idp = Idp::start_over_tls(Answer::Keys(forge.jwks()), tls(authority, name)).await;
    let own = idp.url("").trim_end_matches('/').to_owned();
    idp.set_discovery(&json!({"issuer": own, "jwks_uri": idp.url("keys")}));
    let jwks_setting = format!("jwks_uri = \"{}\"\n", idp.url("keys"));
    let issuers = [("https://idp.test", "named", &*jwks_setting), (&*own, "discovered", "")];
    let mut settings = String::new();
    for (issuer, tenant, keys) in issuers {
        writeln!(settings, "[[auth.issuers]]\nissuer = \"{issuer}\"\n{keys}").unwrap();
        writeln!(settings, "[[tenants]]\nid = \"{tenant}\"\nissuers = [\"{issuer}\"]").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(
        &roots,
        trusted.map_or_else(|| Authority::new().pem().to_owned(), |it| it.pem().to_owned()),
    )
    .unwrap();
    let environment: [(&str, &Path); 1] = [("SSL_CERT_FILE", &roots)];
    let process = Process::serve_with(folder, "", &settings, &environment).await;
    let mut results = Vec::new();
    for (issuer, tenant, _) in issuers {
        let token = forge.token_with_claims(json!({"iss": issuer, "tenant": tenant}));
        let answer = Caller::new(process.channel(), &token).who_am_i().await;
        results.push(answer.map_or_else(|status| reason(&status), |response| response.tenant_id));
    }
    (results, idp.request_count())
}

#[tokio::test]
async fn keys_are_fetched_over_https_from_a_trusted_issuer() {
    let authority = Authority::new();
    let (results, fetches) = results_and_fetches(&authority, "localhost", Some(&authority)).await;
    assert_eq!(results, ["named", "discovered"]);
    assert_eq!(fetches, 2, "one fetch for each issuer");
}

#[tokio::test]
async fn an_issuer_of_an_untrusted_authority_gets_no_request() {
    let (results, fetches) = results_and_fetches(&Authority::new(), "localhost", None).await;
    assert_eq!((results, fetches), (vec![UNAVAILABLE.to_owned(); 2], 0));
}

#[tokio::test]
async fn an_issuer_with_a_certificate_for_another_name_gets_no_request() {
    let authority = Authority::new();
    let (results, fetches) = results_and_fetches(&authority, "elsewhere.test", Some(&authority)).await;
    assert_eq!((results, fetches), (vec![UNAVAILABLE.to_owned(); 2], 0));
}
