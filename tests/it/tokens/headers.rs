//! Headers that try to choose the key or the algorithm of the verification.

use std::{future::poll_fn, task::Poll};

use rcgen::{CertificateParams, CrlDistributionPoint, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    forge::{Forge, b64, claims, header, message},
    stage::Stage,
};

const OWN_KEY: &str = "header carries its own key";
const OPTION: &str = "header requests compression, encryption, nesting or an unencoded payload";

fn unsigned(alg: &str, signature: &str) -> String {
    let message = message(&header(&json!({"alg": alg})).to_string(), &claims(&json!({})).to_string());
    format!("{message}.{signature}")
}

/// A server of the attacker. It records whether the service connects to it.
struct Trap(TcpListener);

impl Trap {
    async fn set() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}/keys.json", self.0.local_addr().unwrap())
    }

    /// Asserts that no connection waits to be accepted.
    async fn assert_no_connection(&self) {
        let arrived = poll_fn(|cx| Poll::Ready(self.0.poll_accept(cx).is_ready())).await;
        assert!(!arrived, "the service connected to the attacker");
    }
}

/// Asserts that a token is rejected if the attacker's key signs it and the header refers to that key.
async fn rejects_attacker_key(more: impl FnOnce(&Forge, &str) -> Value) {
    let (stage, trap) = (Stage::start().await, Trap::set().await);
    let attacker = Forge::new();
    let token = attacker.token_with_header(more(&attacker, &trap.url()));
    stage.rejects(&token, OWN_KEY).await;
    trap.assert_no_connection().await;
}

#[tokio::test]
async fn the_algorithm_none_is_rejected_in_every_spelling() {
    let tokens = ["none", "None", "nOnE"].map(|alg| unsigned(alg, ""));
    Stage::start().await.rejects_each(&tokens, "algorithm unknown").await;
}

#[tokio::test]
async fn the_algorithm_none_is_rejected_even_with_a_good_signature() {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_header(json!({"alg": "none"}));
    stage.rejects(&token, "algorithm unknown").await;
}

#[tokio::test]
async fn the_public_key_is_not_used_as_a_shared_secret() {
    let stage = Stage::start().await;
    let message = message(&header(&json!({"alg": "HS256"})).to_string(), &claims(&json!({})).to_string());
    let jwk = stage.forge.public().to_string().into_bytes();
    let der = stage.forge.public_der();
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", der.clone())).into_bytes();
    let tokens = [jwk, pem, der].map(|secret| {
        let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        format!("{message}.{}", b64(aws_lc_rs::hmac::sign(&secret, message.as_bytes())))
    });
    stage.rejects_each(&tokens, "algorithm unknown").await;
}

#[tokio::test]
async fn an_embedded_jwk_is_not_trusted() {
    rejects_attacker_key(|attacker, _| json!({"jwk": attacker.public()})).await;
}

#[tokio::test]
async fn jku_is_not_followed() {
    rejects_attacker_key(|_, url| json!({"jku": url})).await;
}

#[tokio::test]
async fn x5u_is_not_followed() {
    rejects_attacker_key(|_, url| json!({"x5u": url})).await;
}

#[tokio::test]
async fn x5c_is_not_trusted_and_the_urls_in_it_are_not_fetched() {
    rejects_attacker_key(|_, url| {
        let mut params = CertificateParams::new(vec!["idp.test".to_owned()]).unwrap();
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![url.to_owned()] }];
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let der = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, certificate.der());
        json!({"x5c": [der]})
    })
    .await;
}

#[tokio::test]
async fn a_crit_header_is_rejected() {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_header(json!({"crit": ["exp"]}));
    stage.rejects(&token, "header has crit").await;
}

#[tokio::test]
async fn an_empty_crit_header_is_rejected() {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_header(json!({"crit": []}));
    stage.rejects(&token, "header has crit").await;
}

#[tokio::test]
async fn an_unencoded_payload_is_rejected() {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_header(json!({"b64": false}));
    stage.rejects(&token, OPTION).await;
}

#[tokio::test]
async fn a_compressed_payload_is_rejected() {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_header(json!({"zip": "DEF"}));
    stage.rejects(&token, OPTION).await;
}

#[tokio::test]
async fn a_nested_token_is_rejected() {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_header(json!({"cty": "JWT"}));
    stage.rejects(&token, OPTION).await;
}

#[tokio::test]
async fn a_token_of_five_parts_is_rejected() {
    let stage = Stage::start().await;
    let token = format!("{}.a.b.c.d", b64(header(&json!({})).to_string()));
    stage.rejects(&token, "encrypted").await;
}

#[tokio::test]
async fn a_duplicate_algorithm_is_rejected() {
    let stage = Stage::start().await;
    let twice = r#"{"alg":"none","alg":"ES256","kid":"p256"}"#;
    let token = stage.forge.signed(twice, &claims(&json!({})).to_string());
    stage.rejects(&token, "header malformed").await;
}

#[tokio::test]
async fn a_list_of_algorithms_is_rejected_even_with_the_right_one() {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_header(json!({"alg": ["ES256"]}));
    stage.rejects(&token, "header malformed").await;
}

#[tokio::test]
async fn a_list_of_key_ids_is_rejected_even_with_the_right_one() {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_header(json!({"kid": ["p256"]}));
    stage.rejects(&token, "header malformed").await;
}

#[tokio::test]
async fn a_list_of_types_is_rejected_even_with_the_right_one() {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_header(json!({"typ": ["JWT"]}));
    stage.rejects(&token, "header malformed").await;
}
