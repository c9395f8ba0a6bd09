//! Times that are missing, mistyped, in the past or in the future.

use serde_json::{Value, json};

use super::stage::Stage;

const NO_EXPIRY: &str = "exp missing or malformed";
const NO_START: &str = "nbf missing or malformed";
/// A time more than a hundred years in the future.
const FAR: u64 = 5_000_000_000;

async fn rejects(change: Value, reason: &str) {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_claims(change);
    stage.rejects(&token, reason).await;
}

#[tokio::test]
async fn a_missing_expiry_is_rejected() {
    rejects(json!({"exp": null}), NO_EXPIRY).await;
}

#[tokio::test]
async fn an_expiry_as_a_string_is_rejected() {
    rejects(json!({"exp": FAR.to_string()}), NO_EXPIRY).await;
}

#[tokio::test]
async fn a_list_of_expiries_is_rejected() {
    rejects(json!({"exp": [FAR]}), NO_EXPIRY).await;
}

#[tokio::test]
async fn an_expiry_out_of_range_is_rejected() {
    rejects(json!({"exp": 1e300}), NO_EXPIRY).await;
}

#[tokio::test]
async fn a_missing_not_before_is_rejected() {
    rejects(json!({"nbf": null}), NO_START).await;
}

#[tokio::test]
async fn a_not_before_as_a_string_is_rejected() {
    rejects(json!({"nbf": "0"}), NO_START).await;
}

#[tokio::test]
async fn a_token_that_is_not_valid_yet_is_rejected() {
    rejects(json!({"nbf": FAR}), "not valid yet").await;
}

#[tokio::test]
async fn a_token_issued_in_the_future_is_rejected() {
    rejects(json!({"iat": FAR}), "issued in the future").await;
}

#[tokio::test]
async fn a_token_over_the_maximum_lifetime_is_rejected() {
    let stage = Stage::start_with("", "max_lifetime = \"15m\"\n").await;
    let token = stage.forge.token_with_claims(json!({"exp": FAR}));
    stage.rejects(&token, "lifetime exceeds max_lifetime of the issuer").await;
}

#[tokio::test]
async fn a_maximum_lifetime_requires_an_issue_time() {
    let stage = Stage::start_with("", "max_lifetime = \"15m\"\n").await;
    let token = stage.forge.token_with_claims(json!({"iat": null}));
    stage.rejects(&token, "iat missing or malformed").await;
}
