//! Tokens bound to a client certificate (RFC 8705), over real TLS.

use std::{net::SocketAddr, path::Path};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::json;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::harness::{ALL, Caller, Plan, Service, reason};

/// A certificate authority, and the names of its files for the service.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A client's certificate with its key.
pub(crate) struct Client {
    pem: String,
    key: String,
    thumbprint: String,
}

impl Client {
    /// Certificate and key, in PEM.
    pub(crate) fn pair(&self) -> (&str, &str) {
        (&self.pem, &self.key)
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn client(&self, name: &str) -> Client {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, certificate.der()));
        Client { pem: certificate.pem(), key: key.serialize_pem(), thumbprint }
    }

    /// The settings of a service with a certificate of this authority, which takes its clients'.
    pub(crate) fn settings(&self, folder: &Path, client_auth: &str) -> String {
        let server = self.client("localhost");
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (cert, key) = (file("server.pem", &server.pem), file("server.key", &server.key));
        let ca = file("ca.pem", &self.pem);
        format!(
            "[server.tls]\ncert_file = \"{cert}\"\nkey_file = \"{key}\"\nclient_ca_file = \"{ca}\"\nclient_auth = \"{client_auth}\"\n"
        )
    }

    /// The authority's own certificate, in PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The same in DER.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()
    }

    pub(crate) fn channel(&self, service: &Service, client: Option<&Client>) -> Channel {
        self.channel_to(service.address, client)
    }

    pub(crate) fn channel_to(&self, address: SocketAddr, client: Option<&Client>) -> Channel {
        let tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.pem)).domain_name("localhost");
        let tls = match client {
            Some(Client { pem, key, .. }) => tls.identity(Identity::from_pem(pem, key)),
            None => tls,
        };
        let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
        endpoint.tls_config(tls).unwrap().connect_lazy()
    }
}

#[tokio::test]
async fn a_bound_token_is_good_only_on_a_connection_of_its_certificate() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let plan = Plan::default().settings(&authority.settings(folder.path(), "optional"));
    let service = Box::pin(plan.start()).await;
    let (ours, theirs) = (authority.client("ours.test"), authority.client("theirs.test"));
    let bound = service.issuer.token_with("payments", ALL, &[("cnf", json!({"x5t#S256": ours.thumbprint}))]);
    let free = service.issuer.token("payments", ALL);
    let send = async |client: Option<&Client>, token: &str| {
        let answer = Caller::new(authority.channel(&service, client), token).who_am_i().await;
        answer.map_or_else(|status| reason(&status), |principal| principal.tenant_id)
    };
    assert_eq!(send(Some(&ours), &bound).await, "payments");
    assert_eq!(send(Some(&theirs), &bound).await, "TOKEN_INVALID");
    assert_eq!(send(None, &bound).await, "TOKEN_INVALID");
    assert_eq!(send(Some(&ours), &bound).await, "payments", "the refusals do it no harm");
    assert_eq!(send(Some(&theirs), &free).await, "payments");
    assert_eq!(send(None, &free).await, "payments");
    service.stop().await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_taken() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let plan = Plan::default().settings(&authority.settings(folder.path(), "optional"));
    let service = Box::pin(plan.start()).await;
    let forged = Authority::new().client("ours.test");
    let token = service.issuer.token("payments", ALL);
    let channel = authority.channel(&service, Some(&forged));
    let status = Caller::new(channel, &token).who_am_i().await.unwrap_err();
    assert_eq!(reason(&status), "", "the connection itself is refused: {status:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_token_without_binding_is_refused_of_an_issuer_that_has_to_bind() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let plan = Plan::default().settings(&authority.settings(folder.path(), "optional"));
    let service = Box::pin(plan.issuer("require_bound = true\n").start()).await;
    let ours = authority.client("ours.test");
    let bound = service.issuer.token_with("payments", ALL, &[("cnf", json!({"x5t#S256": ours.thumbprint}))]);
    let free = service.issuer.token("payments", ALL);
    for client in [Some(&ours), None] {
        let refused = Caller::new(authority.channel(&service, client), &free).who_am_i().await.unwrap_err();
        assert_eq!(reason(&refused), "TOKEN_INVALID");
    }
    Caller::new(authority.channel(&service, Some(&ours)), &bound).who_am_i().await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn where_clients_have_to_show_a_certificate_no_connection_is_made_without_one() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let plan = Plan::default().settings(&authority.settings(folder.path(), "required"));
    let service = Box::pin(plan.start()).await;
    let token = service.issuer.token("payments", ALL);
    let status = Caller::new(authority.channel(&service, None), &token).who_am_i().await.unwrap_err();
    assert_eq!(reason(&status), "", "the connection itself is refused: {status:?}");
    let ours = authority.client("ours.test");
    Caller::new(authority.channel(&service, Some(&ours)), &token).who_am_i().await.unwrap();
    service.stop().await;
}
