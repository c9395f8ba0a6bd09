//! Invalid signatures, and keys that may not be used for the algorithm.

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::{
    forge::{Forge, b64, claims, header, message},
    stage::Stage,
};
use crate::harness::{Caller, Plan};

const BAD: &str = "signature does not verify";

#[tokio::test]
async fn a_signature_of_zeros_is_rejected() {
    let stage = Stage::start().await;
    let token = stage.forge.with_signature(&[0; 64]);
    stage.rejects(&token, BAD).await;
}

#[tokio::test]
async fn an_empty_signature_is_rejected() {
    let stage = Stage::start().await;
    let token = stage.forge.with_signature(&[]);
    stage.rejects(&token, BAD).await;
}

#[tokio::test]
async fn another_key_with_a_known_id_is_rejected() {
    let stage = Stage::start().await;
    stage.rejects(&Forge::new().token_with_claims(json!({})), BAD).await;
}

#[tokio::test]
async fn claims_that_changed_after_the_signature_are_rejected() {
    let stage = Stage::start().await;
    let good = stage.forge.token_with_claims(json!({}));
    let [head, _, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let other = b64(claims(&json!({"tenant": "orders"})).to_string());
    stage.rejects(&format!("{head}.{other}.{signature}"), BAD).await;
}

#[tokio::test]
async fn a_signature_by_a_key_of_another_curve_is_rejected() {
    let stage = Stage::start().await;
    let token = stage.forge.signed_by_p384(json!({}));
    stage.rejects(&token, BAD).await;
}

#[tokio::test]
async fn a_key_of_another_curve_does_not_fit_the_algorithm() {
    let stage = Stage::start().await;
    let token = stage.forge.signed_by_p384(json!({"kid": "p384"}));
    stage.rejects(&token, "key unknown").await;
}

#[tokio::test]
async fn an_algorithm_for_another_type_of_key_is_rejected() {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_header(json!({"alg": "RS256"}));
    stage.rejects(&token, "key unknown").await;
}

#[tokio::test]
async fn an_algorithm_that_the_key_is_not_for_is_rejected() {
    let stage = Stage::start_with("", "algorithms = [\"ES256\", \"RS256\", \"PS256\"]\n").await;
    Caller::new(stage.service.channel(), &Forge::signed_by_rsa("RS256")).who_am_i().await.unwrap();
    stage.rejects(&Forge::signed_by_rsa("PS256"), "key unknown").await;
}

#[tokio::test]
async fn an_algorithm_that_the_issuer_may_not_use_is_rejected() {
    let stage = Stage::start().await;
    let token = stage.forge.signed_by_p384(json!({"alg": "ES384", "kid": "p384"}));
    stage.rejects(&token, "algorithm not allowed for the issuer").await;
}

#[tokio::test]
async fn an_unknown_key_id_is_rejected() {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_header(json!({"kid": "other"}));
    stage.rejects(&token, "key unknown").await;
}

#[tokio::test]
async fn an_rsa_key_below_2048_bits_is_ignored() {
    let forge = Forge::new();
    let weak = json!({"kty": "RSA", "kid": "weak", "n": b64([0xff; 128]), "e": "AQAB"});
    let jwks = json!({"keys": [weak, forge.public()]}).to_string();
    let stage = Stage { service: Box::pin(Plan::default().jwks(&jwks).start()).await, forge };
    let head = header(&json!({"alg": "RS256", "kid": "weak"})).to_string();
    let token = stage.forge.signed(&head, &claims(&json!({})).to_string());
    stage.rejects(&token, "key unknown").await;
}

/// Asserts that a token is accepted if the issuer has these keys and may use ES256 and this algorithm.
async fn accepts(alg: &str, jwks: &Value, token: &str) {
    let plan = Plan::default().issuer(&format!("algorithms = [\"ES256\", \"{alg}\"]\n"));
    let service = Box::pin(plan.jwks(&jwks.to_string()).start()).await;
    let response = Caller::new(service.channel(), token).who_am_i().await.unwrap();
    assert_eq!(response.tenant_id, "payments");
    service.stop().await;
}

#[tokio::test]
async fn ps256_is_accepted_if_the_issuer_may_use_it() {
    let mut jwks = Forge::new().jwks();
    let keys = jwks["keys"].as_array_mut().unwrap();
    keys.retain(|key| key["kid"] == "rsa");
    keys[0]["alg"] = json!("PS256");
    accepts("PS256", &jwks, &Forge::signed_by_rsa("PS256")).await;
}

#[tokio::test]
async fn es384_is_accepted_if_the_issuer_may_use_it() {
    let forge = Forge::new();
    accepts("ES384", &forge.jwks(), &forge.signed_by_p384(json!({"alg": "ES384", "kid": "p384"}))).await;
}

#[tokio::test]
async fn eddsa_is_accepted_if_the_issuer_may_use_it() {
    let key = Ed25519KeyPair::generate().unwrap();
    let public = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64(key.public_key().as_ref())});
    let head = header(&json!({"alg": "EdDSA", "kid": "ed"})).to_string();
    let message = message(&head, &claims(&json!({})).to_string());
    let token = format!("{message}.{}", b64(key.sign(message.as_bytes())));
    accepts("EdDSA", &json!({"keys": [public]}), &token).await;
}

#[tokio::test]
async fn es512_is_accepted_if_the_issuer_may_use_it() {
    let key = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
    let (x, y) = key.public_key().as_ref()[1..].split_at(66);
    let public = json!({"kty": "EC", "crv": "P-521", "kid": "p521", "x": b64(x), "y": b64(y)});
    let head = header(&json!({"alg": "ES512", "kid": "p521"})).to_string();
    let message = message(&head, &claims(&json!({})).to_string());
    let signature = key.sign(&aws_lc_rs::rand::SystemRandom::new(), message.as_bytes()).unwrap();
    accepts("ES512", &json!({"keys": [public]}), &format!("{message}.{}", b64(signature))).await;
}

#[tokio::test]
async fn the_same_key_twice_in_a_set_is_one() {
    let forge = Forge::new();
    let jwks = json!({"keys": [forge.public(), forge.public()]});
    accepts("ES256", &jwks, &forge.token_with_claims(json!({}))).await;
}

#[tokio::test]
async fn settings_accept_keys_without_an_id_and_tokens_without_an_audience() {
    let forge = Forge::new();
    let mut key = forge.public();
    key.as_object_mut().unwrap().remove("kid");
    let jwks = json!({"keys": [key]}).to_string();
    let settings = "require_kid = false\naudience_claim = \"client_id\"\n";
    let stage =
        Stage { service: Box::pin(Plan::default().issuer(settings).jwks(&jwks).start()).await, forge };
    let token = stage.forge.token_with_claims(json!({"aud": null, "client_id": "logkey"}));
    assert_eq!(Caller::new(stage.service.channel(), &token).who_am_i().await.unwrap().tenant_id, "payments");
    let other = stage.forge.token_with_claims(json!({"aud": null, "client_id": "other"}));
    let status = Caller::new(stage.service.channel(), &other).who_am_i().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    stage.service.stop().await;
}
