//! Tokens bound to a client certificate (RFC 8705), over real TLS.

use std::{net::SocketAddr, path::Path};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::json;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::harness::{ALL, Caller, Plan, Service, reason};

/// A certificate authority for clients and the server.
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
    /// The certificate and its key, in PEM.
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

    /// The TLS settings of a service with a certificate of this authority, which also issues the client
    /// certificates.
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

    /// The authority's certificate, in PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The authority's certificate, in DER.
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
async fn a_bound_token_works_only_with_its_certificate() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let plan = Plan::default().settings(&authority.settings(folder.path(), "optional"));
    let service = Box::pin(plan.start()).await;
    let (ours, theirs) = (authority.client("ours.test"), authority.client("theirs.test"));
    let bound = service.issuer.token_with("payments", ALL, &[("cnf", json!({"x5t#S256": ours.thumbprint}))]);
    let free = service.issuer.token("payments", ALL);
    let send = async |client: Option<&Client>, token: &str| {
        let answer = Caller::new(authority.channel(&service, client), token).who_am_i().await;
        answer.map_or_else(|status| reason(&status), |response| response.tenant_id)
    };
    assert_eq!(send(Some(&ours), &bound).await, "payments");
    assert_eq!(send(Some(&theirs), &bound).await, "TOKEN_INVALID");
    assert_eq!(send(None, &bound).await, "TOKEN_INVALID");
    assert_eq!(send(Some(&ours), &bound).await, "payments", "the rejected calls do not affect the token");
    assert_eq!(send(Some(&theirs), &free).await, "payments");
    assert_eq!(send(None, &free).await, "payments");
    service.stop().await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_rejected() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let plan = Plan::default().settings(&authority.settings(folder.path(), "optional"));
    let service = Box::pin(plan.start()).await;
    let forged = Authority::new().client("ours.test");
    let token = service.issuer.token("payments", ALL);
    let channel = authority.channel(&service, Some(&forged));
    let status = Caller::new(channel, &token).who_am_i().await.unwrap_err();
    assert_eq!(reason(&status), "", "the server rejects the connection: {status:?}");
    service.stop().await;
}

#[tokio::test]
async fn an_unbound_token_is_rejected_if_the_issuer_must_bind() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let plan = Plan::default().settings(&authority.settings(folder.path(), "optional"));
    let service = Box::pin(plan.issuer("require_bound = true\n").start()).await;
    let ours = authority.client("ours.test");
    let bound = service.issuer.token_with("payments", ALL, &[("cnf", json!({"x5t#S256": ours.thumbprint}))]);
    let free = service.issuer.token("payments", ALL);
    for client in [Some(&ours), None] {
        let status = Caller::new(authority.channel(&service, client), &free).who_am_i().await.unwrap_err();
        assert_eq!(reason(&status), "TOKEN_INVALID");
    }
    Caller::new(authority.channel(&service, Some(&ours)), &bound).who_am_i().await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_required_client_certificate_is_enforced_on_connect() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let plan = Plan::default().settings(&authority.settings(folder.path(), "required"));
    let service = Box::pin(plan.start()).await;
    let token = service.issuer.token("payments", ALL);
    let status = Caller::new(authority.channel(&service, None), &token).who_am_i().await.unwrap_err();
    assert_eq!(reason(&status), "", "the server rejects the connection: {status:?}");
    let ours = authority.client("ours.test");
    Caller::new(authority.channel(&service, Some(&ours)), &token).who_am_i().await.unwrap();
    service.stop().await;
}
