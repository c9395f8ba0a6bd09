//! What is taken from an issuer, and where it may lead.

use std::{future::poll_fn, task::Poll};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{ONCE, idp::*, readiness, request_counts, service_at};
use crate::tokens::forge::Forge;

const MEBIBYTE: usize = 1024 * 1024;
const UNAVAILABLE: &str = "IDENTITY_PROVIDER_UNAVAILABLE";

/// A good token of an issuer whose keys are this text is answered so.
async fn text_is(text: impl FnOnce(String) -> String, expected: &str) {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Text(text(forge.jwks().to_string()))).await;
    let service = service_at(&idp, "keys", ONCE).await;
    assert_eq!(request_counts(&service, &forge).await, expected);
    service.stop().await;
}

/// A good token of an issuer whose keys are looked for at this path is answered so.
async fn path_is(path: &str, expected: &str) {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Keys(forge.jwks())).await;
    let service = service_at(&idp, path, ONCE).await;
    assert_eq!(request_counts(&service, &forge).await, expected);
    assert_eq!(idp.request_count(), usize::from(expected == "OK"));
    service.stop().await;
}

fn padded(text: &str, size: usize) -> String {
    format!("{text}{}", " ".repeat(size - text.len()))
}

#[tokio::test]
async fn a_set_of_one_mebibyte_is_taken() {
    text_is(|keys| padded(&keys, MEBIBYTE), "OK").await;
}

#[tokio::test]
async fn a_set_of_one_byte_more_is_not() {
    text_is(|keys| padded(&keys, MEBIBYTE + 1), UNAVAILABLE).await;
}

#[tokio::test]
async fn what_is_no_set_is_not_taken_for_an_empty_one() {
    text_is(|_| "<html>".to_owned(), UNAVAILABLE).await;
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
    text_is(broken, "OK").await;
}

#[tokio::test]
async fn five_redirects_are_followed() {
    path_is("hops/4", "OK").await;
}

#[tokio::test]
async fn a_sixth_redirect_is_not() {
    path_is("hops/5", UNAVAILABLE).await;
}

#[tokio::test]
async fn nobody_is_led_to_a_link_local_address() {
    path_is("to/http://169.254.169.254/latest/meta-data/", UNAVAILABLE).await;
}

#[tokio::test]
async fn nobody_is_led_to_plain_http_outside_of_this_machine() {
    path_is("to/http://idp.test/keys", UNAVAILABLE).await;
}

#[tokio::test]
async fn nobody_is_led_to_another_scheme() {
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    path_is(&format!("to/https://{}/keys", trap.local_addr().unwrap()), UNAVAILABLE).await;
    let arrived = poll_fn(|cx| Poll::Ready(trap.poll_accept(cx).is_ready())).await;
    assert!(!arrived, "someone connected");
}

#[tokio::test]
async fn readiness_says_what_is_wrong_with_the_keys() {
    let idp = Idp::start(Answer::Fails).await;
    let service = service_at(&idp, "keys", ONCE).await;
    assert_eq!(request_counts(&service, &Forge::new()).await, UNAVAILABLE);
    let output = readiness(&service).await;
    assert!(output.contains("issuer: https://idp.test: the issuer answered 500"), "{output}");
    service.stop().await;
}
