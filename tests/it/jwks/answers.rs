//! Which responses of an issuer the service accepts, and which redirects it follows.

use std::{future::poll_fn, task::Poll};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{ONCE, call_with_new_token, idp::*, readiness, service_at};
use crate::tokens::forge::Forge;

const MEBIBYTE: usize = 1024 * 1024;
const UNAVAILABLE: &str = "IDENTITY_PROVIDER_UNAVAILABLE";

/// Asserts the result of a valid token if the issuer serves this text as its keys.
async fn assert_result_for_text(text: impl FnOnce(String) -> String, expected: &str) {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Text(text(forge.jwks().to_string()))).await;
    let service = service_at(&idp, "keys", ONCE).await;
    assert_eq!(call_with_new_token(&service, &forge).await, expected);
    service.stop().await;
}

/// Asserts the result of a valid token if the keys are fetched from this path.
async fn assert_result_for_path(path: &str, expected: &str) {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Keys(forge.jwks())).await;
    let service = service_at(&idp, path, ONCE).await;
    assert_eq!(call_with_new_token(&service, &forge).await, expected);
    assert_eq!(idp.request_count(), usize::from(expected == "OK"));
    service.stop().await;
}

fn padded(text: &str, size: usize) -> String {
    format!("{text}{}", " ".repeat(size - text.len()))
}

#[tokio::test]
async fn a_key_set_of_one_mebibyte_is_accepted() {
    assert_result_for_text(|keys| padded(&keys, MEBIBYTE), "OK").await;
}

#[tokio::test]
async fn a_key_set_over_one_mebibyte_is_rejected() {
    assert_result_for_text(|keys| padded(&keys, MEBIBYTE + 1), UNAVAILABLE).await;
}

#[tokio::test]
async fn a_response_that_is_not_a_key_set_is_not_an_empty_set() {
    assert_result_for_text(|_| "<html>".to_owned(), UNAVAILABLE).await;
}

#[tokio::test]
async fn one_undecodable_key_does_not_lose_the_others() {
    let broken = |keys: String| {
        let mut keys: Value = serde_json::from_str(&keys).unwrap();
        let all = keys["keys"].as_array_mut().unwrap();
        all.insert(0, json!("garbage"));
        all.insert(1, json!({"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"}));
        all.push(json!({"kty": "EC", "crv": "P-256", "kid": "no-point", "x": "AAAA", "y": "AAAA"}));
        keys.to_string()
    };
    assert_result_for_text(broken, "OK").await;
}

#[tokio::test]
async fn five_redirects_are_followed() {
    assert_result_for_path("hops/4", "OK").await;
}

#[tokio::test]
async fn a_sixth_redirect_is_not_followed() {
    assert_result_for_path("hops/5", UNAVAILABLE).await;
}

#[tokio::test]
async fn a_redirect_to_a_link_local_address_is_not_followed() {
    assert_result_for_path("to/http://169.254.169.254/latest/meta-data/", UNAVAILABLE).await;
}

#[tokio::test]
async fn a_redirect_to_remote_plain_http_is_not_followed() {
    assert_result_for_path("to/http://idp.test/keys", UNAVAILABLE).await;
}

#[tokio::test]
async fn a_redirect_to_another_scheme_is_not_followed() {
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert_result_for_path(&format!("to/https://{}/keys", trap.local_addr().unwrap()), UNAVAILABLE).await;
    let arrived = poll_fn(|cx| Poll::Ready(trap.poll_accept(cx).is_ready())).await;
    assert!(!arrived, "the service connected to the redirect target");
}

#[tokio::test]
async fn readiness_names_the_problem_with_the_keys() {
    let idp = Idp::start(Answer::Fails).await;
    let service = service_at(&idp, "keys", ONCE).await;
    assert_eq!(call_with_new_token(&service, &Forge::new()).await, UNAVAILABLE);
    let ready = readiness(&service).await;
    assert!(ready.contains("issuer: https://idp.test: the issuer responded with 500"), "{ready}");
    service.stop().await;
}
