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
    let told = answer(&service, &forge.claiming(json!({"iss": issuer}))).await;
    let ready = readiness(&service).await;
    service.stop().await;
    (told, ready, idp.asked())
}

fn own(idp: &Idp) -> String {
    idp.url("").trim_end_matches('/').to_owned()
}

#[tokio::test]
async fn the_issuers_own_document_leads_to_its_keys() {
    let (told, ready, asked) =
        described(|idp| json!({"issuer": own(idp), "jwks_uri": idp.url("keys")})).await;
    assert_eq!((&*told, &*ready, asked), ("OK", "ok\n", 1));
}

#[tokio::test]
async fn a_document_of_another_issuer_is_not_believed_and_its_keys_are_not_asked_for() {
    let (told, ready, asked) =
        described(|idp| json!({"issuer": format!("{}/", own(idp)), "jwks_uri": idp.url("keys")})).await;
    assert_eq!((&*told, asked), ("IDENTITY_PROVIDER_UNAVAILABLE", 0));
    assert!(ready.contains("the discovery document is that of another issuer"), "{ready}");
}

#[tokio::test]
async fn a_document_that_leads_to_a_link_local_address_is_not_followed() {
    let (told, ready, asked) =
        described(|idp| json!({"issuer": own(idp), "jwks_uri": "https://169.254.169.254/keys"})).await;
    assert_eq!((&*told, asked), ("IDENTITY_PROVIDER_UNAVAILABLE", 0));
    assert!(ready.contains("may not be asked"), "{ready}");
}
