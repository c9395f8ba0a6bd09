//! Times that are missing, mistyped, or not now.

use serde_json::{Value, json};

use super::stage::Stage;

const NO_EXPIRY: &str = "exp missing or malformed";
const NO_START: &str = "nbf missing or malformed";
/// In a hundred years or so.
const FAR: u64 = 5_000_000_000;

async fn refuses(change: Value, reason: &str) {
    let stage = Stage::usual().await;
    let token = stage.forge.claiming(change);
    stage.refuses(&token, reason).await;
}

#[tokio::test]
async fn a_missing_expiry_is_refused() {
    refuses(json!({"exp": null}), NO_EXPIRY).await;
}

#[tokio::test]
async fn an_expiry_written_as_a_text_is_refused() {
    refuses(json!({"exp": FAR.to_string()}), NO_EXPIRY).await;
}

#[tokio::test]
async fn a_list_of_expiries_is_refused() {
    refuses(json!({"exp": [FAR]}), NO_EXPIRY).await;
}

#[tokio::test]
async fn an_expiry_beyond_all_time_is_refused() {
    refuses(json!({"exp": 1e300}), NO_EXPIRY).await;
}

#[tokio::test]
async fn a_missing_not_before_is_refused() {
    refuses(json!({"nbf": null}), NO_START).await;
}

#[tokio::test]
async fn a_not_before_written_as_a_text_is_refused() {
    refuses(json!({"nbf": "0"}), NO_START).await;
}

#[tokio::test]
async fn a_token_that_is_not_valid_yet_is_refused() {
    refuses(json!({"nbf": FAR}), "not valid yet").await;
}

#[tokio::test]
async fn a_token_from_the_future_is_refused() {
    refuses(json!({"iat": FAR}), "issued in the future").await;
}

#[tokio::test]
async fn a_token_that_lives_longer_than_its_issuer_may_let_it_is_refused() {
    let stage = Stage::with("", "max_lifetime = \"15m\"\n").await;
    let token = stage.forge.claiming(json!({"exp": FAR}));
    stage.refuses(&token, "lives longer than the issuer may let it").await;
}

#[tokio::test]
async fn where_a_lifetime_is_set_a_token_that_does_not_say_when_it_was_made_is_refused() {
    let stage = Stage::with("", "max_lifetime = \"15m\"\n").await;
    let token = stage.forge.claiming(json!({"iat": null}));
    stage.refuses(&token, "iat missing or malformed").await;
}
