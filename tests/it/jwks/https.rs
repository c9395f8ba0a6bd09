//! An issuer whose certificate is of an authority of one's own, as the machine's roots name it.

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

/// A server's side of TLS, with a certificate of this authority for this name.
fn tls(authority: &Authority, name: &str) -> ServerConfig {
    let of = authority.client(name);
    let (cert, key) = of.pair();
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

/// An issuer with a certificate of `authority` for `name`, and how a service answers its tokens that trusts
/// `trusted`: once with its keys by their address, once by discovery. Also how often it was asked.
async fn response(authority: &Authority, name: &str, trusted: Option<&Authority>) -> (Vec<String>, usize) {
    let forge = Forge::new();
    let idp = Idp::start_over_tls(Answer::Keys(forge.jwks()), tls(authority, name)).await;
    let own = idp.url("").trim_end_matches('/').to_owned();
    idp.is_discovered_by(&json!({"issuer": own, "jwks_uri": idp.url("keys")}));
    let named = format!("jwks_uri = \"{}\"\n", idp.url("keys"));
    let issuers = [("https://idp.test", "named", &*named), (&*own, "discovered", "")];
    let mut below = String::new();
    for (issuer, tenant, keys) in issuers {
        writeln!(below, "[[auth.issuers]]\nissuer = \"{issuer}\"\n{keys}").unwrap();
        writeln!(below, "[[tenants]]\nid = \"{tenant}\"\nissuers = [\"{issuer}\"]").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(
        &roots,
        trusted.map_or_else(|| Authority::new().pem().to_owned(), |it| it.pem().to_owned()),
    )
    .unwrap();
    let environment: [(&str, &Path); 1] = [("SSL_CERT_FILE", &roots)];
    let process = Process::serve_with(folder, "", &below, &environment).await;
    let mut output = Vec::new();
    for (issuer, tenant, _) in issuers {
        let token = forge.claiming(json!({"iss": issuer, "tenant": tenant}));
        let answer = Caller::new(process.channel(), &token).who_am_i().await;
        output.push(answer.map_or_else(|status| reason(&status), |principal| principal.tenant_id));
    }
    (output, idp.request_count())
}

#[tokio::test]
async fn keys_come_over_https_from_an_issuer_whose_authority_is_trusted() {
    let authority = Authority::new();
    let (output, request_count) = response(&authority, "localhost", Some(&authority)).await;
    assert_eq!(output, ["named", "discovered"]);
    assert_eq!(request_count, 2, "once for each issuer");
}

#[tokio::test]
async fn an_issuer_of_another_authority_is_not_asked() {
    let (output, request_count) = response(&Authority::new(), "localhost", None).await;
    assert_eq!((output, request_count), (vec![UNAVAILABLE.to_owned(); 2], 0));
}

#[tokio::test]
async fn an_issuer_with_a_certificate_of_another_name_is_not_asked() {
    let authority = Authority::new();
    let (output, request_count) = response(&authority, "elsewhere.test", Some(&authority)).await;
    assert_eq!((output, request_count), (vec![UNAVAILABLE.to_owned(); 2], 0));
}
