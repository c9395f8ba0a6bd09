//! TLS: the supported versions, and certificates that change while connections exist.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, pki_types::ServerName, version};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    bound_tokens::Authority,
    harness::{ALL, Caller, ORDERS, PAYMENTS, Plan, Service, reason, tenant},
};

const LIMITS: &str = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";

async fn handshake(
    service: &Service,
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
) -> Result<rustls::ProtocolVersion, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(service.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(stream.get_ref().1.protocol_version().unwrap())
}

/// A `ClientHello` that offers no version later than this one (RFC 4346, section 7.4.1.2).
fn hello(minor: u8) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    // No session, ECDHE_ECDSA with AES_128_GCM_SHA256 and AES_128_CBC_SHA, no compression.
    body.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x09, 1, 0]);
    // Groups, point formats and signatures that the server supports; no later versions.
    body.extend([0, 22, 0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 4, 0, 2, 4, 3]);
    let length = |bytes: usize| u8::try_from(bytes).unwrap();
    let mut record = vec![22, 3, 1, 0, length(body.len() + 4), 1, 0, 0, length(body.len())];
    record.extend(body);
    record
}

#[tokio::test]
async fn only_tls_1_2_and_1_3_are_accepted() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let service =
        Box::pin(Plan::default().settings(&authority.settings(folder.path(), "optional")).start()).await;
    for (offered, agreed) in [
        (&version::TLS13, rustls::ProtocolVersion::TLSv1_3),
        (&version::TLS12, rustls::ProtocolVersion::TLSv1_2),
    ] {
        assert_eq!(handshake(&service, &authority, offered).await.unwrap(), agreed);
    }
    for (minor, response) in [(3, None), (2, Some([2, 70])), (1, Some([2, 70]))] {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        stream.write_all(&hello(minor)).await.unwrap();
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await.unwrap();
        let [kind, _, _, _, _, level, description] = answer;
        match response {
            // For TLS 1.2, the server continues the handshake (22).
            None => assert_eq!(kind, 22, "3.{minor}: {answer:?}"),
            // A fatal (2) alert (21): protocol_version (70), see RFC 8446, section 6.2.
            Some(alert) => assert_eq!((kind, [level, description]), (21, alert), "3.{minor}: {answer:?}"),
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn certificates_and_authorities_change_and_old_client_certificates_end() {
    let (before, after, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let settings = before.settings(folder.path(), "required");
    let service = Box::pin(Plan::default().settings(&settings).start()).await;
    let token = service.issuer.token("payments", ALL);
    let (old, new) = (before.client("old.test"), after.client("new.test"));
    // This client trusts only the old authority and presents its certificate. Its connection ends with the
    // change, and then each side rejects the other.
    let existing = Caller::new(before.channel(&service, Some(&old)), &token);
    existing.who_am_i().await.unwrap();

    after.settings(folder.path(), "required");
    service.reload(&(tenant("payments", PAYMENTS, LIMITS) + &tenant("orders", ORDERS, LIMITS))).await;

    existing.who_am_i().await.unwrap_err();
    let trusted = Caller::new(after.channel(&service, Some(&new)), &token);
    trusted.who_am_i().await.unwrap();
    Caller::new(before.channel(&service, Some(&old)), &token).who_am_i().await.unwrap_err();
    Caller::new(after.channel(&service, Some(&old)), &token).who_am_i().await.unwrap_err();

    // A certificate without its key is rejected, and the previous one stays in use.
    std::fs::write(folder.path().join("server.key"), "no key").unwrap();
    service.reload(&tenant("payments", PAYMENTS, LIMITS)).await;
    Caller::new(after.channel(&service, Some(&new)), &token).who_am_i().await.unwrap();

    // A connection survives a new certificate of the server if the authority of its client stays.
    after.settings(folder.path(), "required");
    service.reload(&tenant("payments", PAYMENTS, LIMITS)).await;
    trusted.who_am_i().await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_certificate_without_its_key_also_keeps_the_previous_tenants() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let settings = authority.settings(folder.path(), "optional");
    let service = Box::pin(Plan::default().settings(&settings).start()).await;
    let channel = authority.channel(&service, None);
    let orders = Caller::new(channel, &service.issuer.token("orders", ALL));
    orders.who_am_i().await.unwrap();

    std::fs::write(folder.path().join("server.key"), "no key").unwrap();
    service.reload(&tenant("payments", PAYMENTS, LIMITS)).await;
    orders.who_am_i().await.unwrap();

    // With a valid certificate, the same tenants are applied.
    authority.settings(folder.path(), "optional");
    service.reload(&tenant("payments", PAYMENTS, LIMITS)).await;
    assert_eq!(reason(&orders.who_am_i().await.unwrap_err()), "TOKEN_INVALID");
    service.stop().await;
}
