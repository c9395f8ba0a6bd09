//! Headers that choose their own judge.

use std::{future::poll_fn, task::Poll};

use rcgen::{CertificateParams, CrlDistributionPoint, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    forge::{Forge, b64, claims, header, message},
    stage::Stage,
};

const OWN_KEY: &str = "header brings its own key";
const OPTION: &str = "header asks for compression, encryption, nesting or an unencoded payload";

fn unsigned(alg: &str, signature: &str) -> String {
    let message = message(&header(&json!({"alg": alg})).to_string(), &claims(&json!({})).to_string());
    format!("{message}.{signature}")
}

/// Whoever made the token would be asked here, if anyone were.
struct Trap(TcpListener);

impl Trap {
    async fn set() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}/keys.json", self.0.local_addr().unwrap())
    }

    /// Connections that were made wait here until they are accepted.
    async fn is_untouched(&self) {
        let arrived = poll_fn(|cx| Poll::Ready(self.0.poll_accept(cx).is_ready())).await;
        assert!(!arrived, "someone connected");
    }
}

/// The attacker's own key signs, and the header says where it is.
async fn refuses_a_key_of_its_own(more: impl FnOnce(&Forge, &str) -> Value) {
    let (stage, trap) = (Stage::usual().await, Trap::set().await);
    let attacker = Forge::new();
    let token = attacker.headed(more(&attacker, &trap.url()));
    stage.refuses(&token, OWN_KEY).await;
    trap.is_untouched().await;
}

#[tokio::test]
async fn none_is_no_algorithm_in_any_case() {
    let tokens = ["none", "None", "nOnE"].map(|alg| unsigned(alg, ""));
    Stage::usual().await.refuses_each(&tokens, "algorithm unknown").await;
}

#[tokio::test]
async fn none_is_no_algorithm_beside_a_good_signature_either() {
    let stage = Stage::usual().await;
    let token = stage.forge.headed(json!({"alg": "none"}));
    stage.refuses(&token, "algorithm unknown").await;
}

#[tokio::test]
async fn the_public_key_is_no_shared_secret_in_any_form() {
    let stage = Stage::usual().await;
    let message = message(&header(&json!({"alg": "HS256"})).to_string(), &claims(&json!({})).to_string());
    let jwk = stage.forge.public().to_string().into_bytes();
    let der = stage.forge.public_der();
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", der.clone())).into_bytes();
    let tokens = [jwk, pem, der].map(|secret| {
        let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        format!("{message}.{}", b64(aws_lc_rs::hmac::sign(&secret, message.as_bytes())))
    });
    stage.refuses_each(&tokens, "algorithm unknown").await;
}

#[tokio::test]
async fn an_embedded_jwk_is_not_believed() {
    refuses_a_key_of_its_own(|attacker, _| json!({"jwk": attacker.public()})).await;
}

#[tokio::test]
async fn jku_is_not_followed() {
    refuses_a_key_of_its_own(|_, url| json!({"jku": url})).await;
}

#[tokio::test]
async fn x5u_is_not_followed() {
    refuses_a_key_of_its_own(|_, url| json!({"x5u": url})).await;
}

#[tokio::test]
async fn x5c_is_not_believed_and_nothing_that_its_certificate_names_is_asked() {
    refuses_a_key_of_its_own(|_, url| {
        let mut params = CertificateParams::new(vec!["idp.test".to_owned()]).unwrap();
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![url.to_owned()] }];
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let der = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, certificate.der());
        json!({"x5c": [der]})
    })
    .await;
}

#[tokio::test]
async fn crit_is_refused_whatever_it_names() {
    let stage = Stage::usual().await;
    let token = stage.forge.headed(json!({"crit": ["exp"]}));
    stage.refuses(&token, "header has crit").await;
}

#[tokio::test]
async fn an_empty_crit_is_refused_too() {
    let stage = Stage::usual().await;
    let token = stage.forge.headed(json!({"crit": []}));
    stage.refuses(&token, "header has crit").await;
}

#[tokio::test]
async fn an_unencoded_payload_is_refused() {
    let stage = Stage::usual().await;
    let token = stage.forge.headed(json!({"b64": false}));
    stage.refuses(&token, OPTION).await;
}

#[tokio::test]
async fn a_compressed_payload_is_refused() {
    let stage = Stage::usual().await;
    let token = stage.forge.headed(json!({"zip": "DEF"}));
    stage.refuses(&token, OPTION).await;
}

#[tokio::test]
async fn a_token_within_a_token_is_refused() {
    let stage = Stage::usual().await;
    let token = stage.forge.headed(json!({"cty": "JWT"}));
    stage.refuses(&token, OPTION).await;
}

#[tokio::test]
async fn a_token_of_five_parts_is_refused() {
    let stage = Stage::usual().await;
    let token = format!("{}.a.b.c.d", b64(header(&json!({})).to_string()));
    stage.refuses(&token, "encrypted").await;
}

#[tokio::test]
async fn an_algorithm_that_stands_twice_is_refused_rather_than_the_last_one_taken() {
    let stage = Stage::usual().await;
    let twice = r#"{"alg":"none","alg":"ES256","kid":"p256"}"#;
    let token = stage.forge.signed(twice, &claims(&json!({})).to_string());
    stage.refuses(&token, "header malformed").await;
}

#[tokio::test]
async fn a_list_of_algorithms_is_refused_though_the_right_one_is_in_it() {
    let stage = Stage::usual().await;
    let token = stage.forge.headed(json!({"alg": ["ES256"]}));
    stage.refuses(&token, "header malformed").await;
}

#[tokio::test]
async fn a_list_of_key_ids_is_refused_though_the_right_one_is_in_it() {
    let stage = Stage::usual().await;
    let token = stage.forge.headed(json!({"kid": ["p256"]}));
    stage.refuses(&token, "header malformed").await;
}

#[tokio::test]
async fn a_list_of_types_is_refused_though_the_right_one_is_in_it() {
    let stage = Stage::usual().await;
    let token = stage.forge.headed(json!({"typ": ["JWT"]}));
    stage.refuses(&token, "header malformed").await;
}
