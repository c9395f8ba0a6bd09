//! Other kinds of token of the same issuer, in place of an access token.

use serde_json::{Value, json};

use super::{
    forge::{claims, header},
    stage::Stage,
};
use crate::harness::Caller;

const IDENTITY: &str = "an identity or logout token";

async fn refuses(change: Value) {
    let stage = Stage::usual().await;
    let token = stage.forge.claiming(change);
    stage.refuses(&token, IDENTITY).await;
}

#[tokio::test]
async fn an_identity_token_with_the_hash_of_an_access_token_is_refused() {
    refuses(json!({"at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"})).await;
}

#[tokio::test]
async fn an_identity_token_with_the_hash_of_a_code_is_refused() {
    refuses(json!({"c_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"})).await;
}

#[tokio::test]
async fn an_identity_token_of_keycloak_is_refused() {
    refuses(json!({"typ": "ID"})).await;
}

#[tokio::test]
async fn an_identity_token_of_cognito_is_refused() {
    refuses(json!({"token_use": "id"})).await;
}

#[tokio::test]
async fn a_logout_token_is_refused_by_its_claims() {
    refuses(json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}})).await;
}

#[tokio::test]
async fn a_logout_token_is_refused_by_its_type() {
    let stage = Stage::usual().await;
    let token = stage.forge.headed(json!({"typ": "logout+jwt"}));
    stage.refuses(&token, "typ is not that of an access token").await;
}

#[tokio::test]
async fn any_other_type_is_refused_of_an_issuer_that_must_say_at_jwt() {
    let stage = Stage::with("", "require_at_jwt = true\n").await;
    let token = |typ: Value| {
        stage.forge.signed(&header(&json!({"typ": typ})).to_string(), &claims(&json!({})).to_string())
    };
    let good = token(json!("at+jwt"));
    Caller::new(stage.service.channel(), &good).who_am_i().await.unwrap();
    for refused in [json!("JWT"), json!(null)] {
        Caller::new(stage.service.channel(), &token(refused)).who_am_i().await.unwrap_err();
    }
    // A change that is waited for: what was noted before it is written.
    let caller = Caller::new(stage.service.channel(), &good);
    caller.associate(crate::harness::GROUP, &crate::harness::key("good")).await.unwrap();
    let events = stage.service.events().await;
    let output = events.iter().filter(|it| it.outcome.as_deref() == Some("TOKEN_INVALID"));
    let reason: Vec<_> = output.filter_map(|event| event.detail.as_deref()).collect();
    assert_eq!(reason, ["typ is not at+jwt"; 2]);
    stage.service.stop().await;
}
