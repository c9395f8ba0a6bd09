//! Tokens that are too long, and more than one token in a call.

use logkey::proto::{GetCallerRequest, tenant_service_client::TenantServiceClient};
use serde_json::json;
use tonic::{Code, Request, transport::Endpoint};

use super::stage::Stage;
use crate::harness::{Caller, reason};

#[tokio::test]
async fn a_token_over_its_limit_is_rejected() {
    let stage = Stage::start_with("[auth]\nmax_token_bytes = 2048\n", "").await;
    let long = stage.forge.token_with_claims(json!({"x": "y".repeat(2048)}));
    stage.rejects(&long, "too long").await;
}

#[tokio::test]
async fn a_token_over_the_limit_is_not_parsed() {
    let stage = Stage::start_with("[auth]\nmax_token_bytes = 2048\n", "").await;
    // Neither text is a token, so a parser would report another error.
    let tokens = ["x".repeat(2049), ".".repeat(4096)];
    stage.rejects_each(&tokens, "too long").await;
}

#[tokio::test]
async fn a_token_of_a_mebibyte_does_not_start_a_call() {
    let stage = Stage::start().await;
    let huge = stage.forge.token_with_claims(json!({"x": "y".repeat(1024 * 1024)}));
    let mut request = Request::new(GetCallerRequest {});
    request.metadata_mut().insert("authorization", format!("Bearer {huge}").parse().unwrap());
    let endpoint = Endpoint::from_shared(format!("http://{}", stage.service.address)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    TenantServiceClient::new(channel).get_caller(request).await.unwrap_err();
    // The headers are over the limit of the connection, so the call does not start.
    stage.assert_rejected_for(&[]).await;
}

#[tokio::test]
async fn two_authorization_entries_are_rejected() {
    let stage = Stage::start().await;
    let mut request = Request::new(GetCallerRequest {});
    for _ in 0..2 {
        let good = format!("Bearer {}", stage.forge.token_with_claims(json!({})));
        request.metadata_mut().append("authorization", good.parse().unwrap());
    }
    let status = TenantServiceClient::new(stage.service.channel()).get_caller(request).await.unwrap_err();
    assert_eq!((status.code(), &*reason(&status)), (Code::Unauthenticated, "TOKEN_INVALID"));
    assert_eq!(
        status.message(),
        "the token was rejected: get a new one from its issuer, or ask the operator of this service for the cause"
    );
    stage.assert_rejected_for(&["more than one authorization entry"]).await;
}

#[tokio::test]
async fn the_default_limit_of_a_token_is_16_kib() {
    let stage = Stage::start().await;
    let bare = stage.forge.token_with_claims(json!({"x": ""})).len();
    // Three bytes of claims are four bytes of the token.
    let room = (16 * 1024 - bare) * 3 / 4;
    let below = stage.forge.token_with_claims(json!({"x": "y".repeat(room)}));
    assert!((16 * 1024 - 4..=16 * 1024).contains(&below.len()), "{}", below.len());
    Caller::new(stage.service.channel(), &below).who_am_i().await.unwrap();
    let above = stage.forge.token_with_claims(json!({"x": "y".repeat(room + 2)}));
    assert!((16 * 1024 + 1..=16 * 1024 + 4).contains(&above.len()), "{}", above.len());
    stage.rejects(&above, "too long").await;
}
