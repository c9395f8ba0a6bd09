//! Tokens that cost something to look at, and more than one of them.

use logkey::proto::{GetCallerRequest, tenant_service_client::TenantServiceClient};
use serde_json::json;
use tonic::{Code, Request, transport::Endpoint};

use super::stage::Stage;
use crate::harness::{Caller, reason};

#[tokio::test]
async fn a_token_over_its_limit_is_refused() {
    let stage = Stage::with("[auth]\nmax_token_bytes = 2048\n", "").await;
    let long = stage.forge.claiming(json!({"x": "y".repeat(2048)}));
    stage.refuses(&long, "too long").await;
}

#[tokio::test]
async fn what_is_over_the_limit_is_not_even_parsed() {
    let stage = Stage::with("[auth]\nmax_token_bytes = 2048\n", "").await;
    // Neither is a token: whoever looked would say so.
    let tokens = ["x".repeat(2049), ".".repeat(4096)];
    stage.refuses_each(&tokens, "too long").await;
}

#[tokio::test]
async fn a_token_of_a_mebibyte_does_not_come_in_at_all() {
    let stage = Stage::usual().await;
    let huge = stage.forge.claiming(json!({"x": "y".repeat(1024 * 1024)}));
    let mut request = Request::new(GetCallerRequest {});
    request.metadata_mut().insert("authorization", format!("Bearer {huge}").parse().unwrap());
    let endpoint = Endpoint::from_shared(format!("http://{}", stage.service.address)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    TenantServiceClient::new(channel).get_caller(request).await.unwrap_err();
    // Its headers are over what a connection takes, so that no call of it begins.
    stage.refused_for(&[]).await;
}

#[tokio::test]
async fn two_authorization_entries_are_refused_rather_than_one_of_them_chosen() {
    let stage = Stage::usual().await;
    let mut request = Request::new(GetCallerRequest {});
    for _ in 0..2 {
        let good = format!("Bearer {}", stage.forge.claiming(json!({})));
        request.metadata_mut().append("authorization", good.parse().unwrap());
    }
    let status = TenantServiceClient::new(stage.service.channel()).get_caller(request).await.unwrap_err();
    assert_eq!((status.code(), &*reason(&status)), (Code::Unauthenticated, "TOKEN_INVALID"));
    assert_eq!(status.message(), "the token was not accepted");
    stage.refused_for(&["more than one authorization entry"]).await;
}

#[tokio::test]
async fn by_default_a_token_may_be_as_long_as_16_kib_and_no_longer() {
    let stage = Stage::usual().await;
    let bare = stage.forge.claiming(json!({"x": ""})).len();
    // Three bytes of claims are four of a token.
    let room = (16 * 1024 - bare) * 3 / 4;
    let below = stage.forge.claiming(json!({"x": "y".repeat(room)}));
    assert!((16 * 1024 - 4..=16 * 1024).contains(&below.len()), "{}", below.len());
    Caller::new(stage.service.channel(), &below).who_am_i().await.unwrap();
    let above = stage.forge.claiming(json!({"x": "y".repeat(room + 2)}));
    assert!((16 * 1024 + 1..=16 * 1024 + 4).contains(&above.len()), "{}", above.len());
    stage.refuses(&above, "too long").await;
}
