//! Tokens of the same issuer that are not access tokens.

use serde_json::{Value, json};

use super::{
    forge::{claims, header},
    stage::Stage,
};
use crate::harness::Caller;

const IDENTITY: &str = "an identity or logout token";

async fn rejects(change: Value) {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_claims(change);
    stage.rejects(&token, IDENTITY).await;
}

#[tokio::test]
async fn an_id_token_with_an_access_token_hash_is_rejected() {
    rejects(json!({"at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"})).await;
}

#[tokio::test]
async fn an_id_token_with_a_code_hash_is_rejected() {
    rejects(json!({"c_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"})).await;
}

#[tokio::test]
async fn an_id_token_of_keycloak_is_rejected() {
    rejects(json!({"typ": "ID"})).await;
}

#[tokio::test]
async fn an_id_token_of_cognito_is_rejected() {
    rejects(json!({"token_use": "id"})).await;
}

#[tokio::test]
async fn a_logout_token_is_rejected_by_its_claims() {
    rejects(json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}})).await;
}

#[tokio::test]
async fn a_logout_token_is_rejected_by_its_type() {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_header(json!({"typ": "logout+jwt"}));
    stage.rejects(&token, "typ is that of another kind of token").await;
}

#[tokio::test]
async fn another_type_is_rejected_if_at_jwt_is_required() {
    let stage = Stage::start_with("", "require_at_jwt = true\n").await;
    let token = |typ: Value| {
        stage.forge.signed(&header(&json!({"typ": typ})).to_string(), &claims(&json!({})).to_string())
    };
    let good = token(json!("at+jwt"));
    Caller::new(stage.service.channel(), &good).who_am_i().await.unwrap();
    for rejected in [json!("JWT"), json!(null)] {
        Caller::new(stage.service.channel(), &token(rejected)).who_am_i().await.unwrap_err();
    }
    // The call waits for this change to be durable, and the earlier refusals are durable before it.
    let caller = Caller::new(stage.service.channel(), &good);
    caller.associate(crate::harness::GROUP, &crate::harness::key("good")).await.unwrap();
    let events = stage.service.events().await;
    let refusals = events.iter().filter(|it| it.outcome.as_deref() == Some("TOKEN_INVALID"));
    let details: Vec<_> = refusals.filter_map(|event| event.detail.as_deref()).collect();
    assert_eq!(details, ["typ is not at+jwt"; 2]);
    stage.service.stop().await;
}
