//! Issuers whose keys the service finds with a discovery document.

use serde_json::{Value, json};

use super::{ONCE, answer, idp::*, readiness, service_of};
use crate::tokens::forge::Forge;

/// How a service behaves with the discovery document of its issuer.
struct Discovered {
    /// The result of a valid token.
    result: String,
    /// The readiness text.
    ready: String,
    /// The number of key fetches.
    fetches: usize,
}

/// The service's behavior if the issuer has this discovery document.
async fn with_discovery(document: impl FnOnce(&Idp) -> Value) -> Discovered {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Keys(forge.jwks())).await;
    idp.set_discovery(&document(&idp));
    let issuer = idp.url("").trim_end_matches('/').to_owned();
    let service = service_of(&issuer, "", ONCE).await;
    let result = answer(&service, &forge.token_with_claims(json!({"iss": issuer}))).await;
    let ready = readiness(&service).await;
    service.stop().await;
    Discovered { result, ready, fetches: idp.request_count() }
}

fn issuer_of(idp: &Idp) -> String {
    idp.url("").trim_end_matches('/').to_owned()
}

#[tokio::test]
async fn the_discovery_document_of_the_issuer_leads_to_its_keys() {
    let Discovered { result, ready, fetches } =
        with_discovery(|idp| json!({"issuer": issuer_of(idp), "jwks_uri": idp.url("keys")})).await;
    assert_eq!((&*result, &*ready, fetches), ("OK", "ok\n", 1));
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_rejected() {
    let Discovered { result, ready, fetches } =
        with_discovery(|idp| json!({"issuer": format!("{}/", issuer_of(idp)), "jwks_uri": idp.url("keys")}))
            .await;
    assert_eq!((&*result, fetches), ("IDENTITY_PROVIDER_UNAVAILABLE", 0));
    assert!(ready.contains("the discovery document belongs to another issuer"), "{ready}");
}

#[tokio::test]
async fn a_jwks_uri_with_a_link_local_address_is_not_fetched() {
    let Discovered { result, ready, fetches } =
        with_discovery(|idp| json!({"issuer": issuer_of(idp), "jwks_uri": "https://169.254.169.254/keys"}))
            .await;
    assert_eq!((&*result, fetches), ("IDENTITY_PROVIDER_UNAVAILABLE", 0));
    assert!(ready.contains("is not allowed"), "{ready}");
}
