//! Issuers whose keys are found by their discovery document.

use serde_json::{Value, json};

use super::{ONCE, answer, idp::*, readiness, service_of};
use crate::tokens::forge::Forge;

/// How a good token is answered whose issuer is described so, what readiness says, and how often the
/// keys were asked for.
async fn described(document: impl FnOnce(&Idp) -> Value) -> (String, String, usize) {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Keys(forge.jwks())).await;
    idp.is_discovered_by(&document(&idp));
    let issuer = idp.url("").trim_end_matches('/').to_owned();
    let service = service_of(&issuer, "", ONCE).await;
    let output = answer(&service, &forge.claiming(json!({"iss": issuer}))).await;
    let ready = readiness(&service).await;
    service.stop().await;
    (output, ready, idp.request_count())
}

fn own(idp: &Idp) -> String {
    idp.url("").trim_end_matches('/').to_owned()
}

#[tokio::test]
async fn the_issuers_own_document_leads_to_its_keys() {
    let (output, ready, request_count) =
        described(|idp| json!({"issuer": own(idp), "jwks_uri": idp.url("keys")})).await;
    assert_eq!((&*output, &*ready, request_count), ("OK", "ok\n", 1));
}

#[tokio::test]
async fn a_document_of_another_issuer_is_not_believed_and_its_keys_are_not_asked_for() {
    let (output, ready, request_count) =
        described(|idp| json!({"issuer": format!("{}/", own(idp)), "jwks_uri": idp.url("keys")})).await;
    assert_eq!((&*output, request_count), ("IDENTITY_PROVIDER_UNAVAILABLE", 0));
    assert!(ready.contains("the discovery document is that of another issuer"), "{ready}");
}

#[tokio::test]
async fn a_document_that_leads_to_a_link_local_address_is_not_followed() {
    let (output, ready, request_count) =
        described(|idp| json!({"issuer": own(idp), "jwks_uri": "https://169.254.169.254/keys"})).await;
    assert_eq!((&*output, request_count), ("IDENTITY_PROVIDER_UNAVAILABLE", 0));
    assert!(ready.contains("may not be asked"), "{ready}");
}
