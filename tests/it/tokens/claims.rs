//! Claims that are missing, mistyped, duplicated or for another audience.

use serde_json::{Value, json};

use super::{
    forge::{claims, header},
    stage::Stage,
};
use crate::harness::{Caller, ISSUER};

const NO_ISSUER: &str = "iss missing or not a string";
const NO_AUDIENCE: &str = "aud missing or malformed";
const NO_SUBJECT: &str = "sub missing or malformed";

/// Asserts that a token with these changed claims is rejected for this reason.
async fn rejects(change: Value, reason: &str) {
    let stage = Stage::start().await;
    let token = stage.forge.token_with_claims(change);
    stage.rejects(&token, reason).await;
}

/// Asserts that a token is rejected after this change of the text of its claims.
async fn rejects_text(change: impl FnOnce(String) -> String) {
    let stage = Stage::start().await;
    let text = change(claims(&json!({})).to_string());
    let token = stage.forge.signed(&header(&json!({})).to_string(), &text);
    stage.rejects(&token, "claims malformed").await;
}

#[tokio::test]
async fn a_missing_issuer_is_rejected() {
    rejects(json!({"iss": null}), NO_ISSUER).await;
}

#[tokio::test]
async fn a_mistyped_issuer_is_rejected() {
    rejects(json!({"iss": {"a": ISSUER}}), NO_ISSUER).await;
}

#[tokio::test]
async fn a_list_of_issuers_is_rejected_even_with_the_right_one() {
    rejects(json!({"iss": [ISSUER, "https://evil.test"]}), NO_ISSUER).await;
}

#[tokio::test]
async fn an_unknown_issuer_is_rejected() {
    rejects(json!({"iss": "https://evil.test"}), "issuer unknown").await;
}

#[tokio::test]
async fn a_missing_audience_is_rejected() {
    rejects(json!({"aud": null}), NO_AUDIENCE).await;
}

#[tokio::test]
async fn a_mistyped_audience_is_rejected() {
    rejects(json!({"aud": 1}), NO_AUDIENCE).await;
}

#[tokio::test]
async fn a_list_of_audiences_with_a_non_string_is_rejected() {
    rejects(json!({"aud": ["logkey", 1]}), NO_AUDIENCE).await;
}

#[tokio::test]
async fn another_audience_is_rejected() {
    rejects(json!({"aud": "other"}), "meant for another audience").await;
}

#[tokio::test]
async fn several_audiences_are_rejected_if_only_one_is_allowed() {
    let stage = Stage::start_with("", "only_audience = true\n").await;
    let token = stage.forge.token_with_claims(json!({"aud": ["logkey", "other"]}));
    stage.rejects(&token, "meant for other audiences too").await;
}

#[tokio::test]
async fn several_audiences_are_accepted_if_one_is_ours() {
    let Stage { service, forge } = Stage::start().await;
    let token = forge.token_with_claims(json!({"aud": ["other", "logkey"]}));
    Caller::new(service.channel(), &token).who_am_i().await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_missing_subject_is_rejected() {
    rejects(json!({"sub": null}), NO_SUBJECT).await;
}

#[tokio::test]
async fn a_list_of_subjects_is_rejected() {
    rejects(json!({"sub": ["alice"]}), NO_SUBJECT).await;
}

#[tokio::test]
async fn an_empty_subject_is_rejected() {
    rejects(json!({"sub": ""}), NO_SUBJECT).await;
}

#[tokio::test]
async fn a_list_of_tenants_is_rejected() {
    rejects(json!({"tenant": ["payments"]}), "tenant claim missing or malformed").await;
}

#[tokio::test]
async fn an_unknown_tenant_is_rejected() {
    rejects(json!({"tenant": "nobody"}), "no tenant for the tenant claim").await;
}

#[tokio::test]
async fn scopes_that_are_not_strings_are_rejected() {
    rejects(json!({"scope": [["logkey:read"]]}), "scope claim malformed").await;
}

#[tokio::test]
async fn a_token_with_an_unsupported_binding_is_rejected() {
    rejects(json!({"cnf": {"jkt": "x"}}), "cnf malformed or not supported").await;
}

#[tokio::test]
async fn a_duplicate_claim_is_rejected() {
    rejects_text(|good| good.replacen('{', "{\"tenant\":\"orders\",", 1)).await;
}

#[tokio::test]
async fn a_duplicate_claim_in_another_spelling_is_rejected() {
    rejects_text(|good| good.replacen('{', "{\"\\u0074enant\":\"orders\",", 1)).await;
}

#[tokio::test]
async fn a_duplicate_member_within_a_claim_is_rejected() {
    rejects_text(|good| good.replacen('{', "{\"x\":{\"a\":1,\"a\":2},", 1)).await;
}
