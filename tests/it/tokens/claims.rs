//! Claims that are missing, mistyped, doubled or meant for others.

use serde_json::{Value, json};

use super::{
    forge::{claims, header},
    stage::Stage,
};
use crate::harness::{Caller, ISSUER};

const NO_ISSUER: &str = "iss missing or not a text";
const NO_AUDIENCE: &str = "aud missing or malformed";
const NO_SUBJECT: &str = "sub missing or malformed";

/// A token with this change is refused for that.
async fn refuses(change: Value, reason: &str) {
    let stage = Stage::usual().await;
    let token = stage.forge.claiming(change);
    stage.refuses(&token, reason).await;
}

/// A token whose claims are this text is refused.
async fn refuses_text(change: impl FnOnce(String) -> String) {
    let stage = Stage::usual().await;
    let text = change(claims(&json!({})).to_string());
    let token = stage.forge.signed(&header(&json!({})).to_string(), &text);
    stage.refuses(&token, "claims malformed").await;
}

#[tokio::test]
async fn a_missing_issuer_is_refused() {
    refuses(json!({"iss": null}), NO_ISSUER).await;
}

#[tokio::test]
async fn a_mistyped_issuer_is_refused() {
    refuses(json!({"iss": {"a": ISSUER}}), NO_ISSUER).await;
}

#[tokio::test]
async fn a_list_of_issuers_is_refused_though_the_right_one_is_in_it() {
    refuses(json!({"iss": [ISSUER, "https://evil.test"]}), NO_ISSUER).await;
}

#[tokio::test]
async fn an_unknown_issuer_is_refused() {
    refuses(json!({"iss": "https://evil.test"}), "issuer unknown").await;
}

#[tokio::test]
async fn a_missing_audience_is_refused() {
    refuses(json!({"aud": null}), NO_AUDIENCE).await;
}

#[tokio::test]
async fn a_mistyped_audience_is_refused() {
    refuses(json!({"aud": 1}), NO_AUDIENCE).await;
}

#[tokio::test]
async fn a_list_of_audiences_with_anything_but_texts_in_it_is_refused() {
    refuses(json!({"aud": ["logkey", 1]}), NO_AUDIENCE).await;
}

#[tokio::test]
async fn another_audience_is_refused() {
    refuses(json!({"aud": "other"}), "meant for another audience").await;
}

#[tokio::test]
async fn several_audiences_are_refused_of_an_issuer_that_must_name_us_alone() {
    let stage = Stage::with("", "only_audience = true\n").await;
    let token = stage.forge.claiming(json!({"aud": ["logkey", "other"]}));
    stage.refuses(&token, "meant for other audiences too").await;
}

#[tokio::test]
async fn several_audiences_are_fine_otherwise_where_we_are_among_them() {
    let Stage { service, forge } = Stage::usual().await;
    let token = forge.claiming(json!({"aud": ["other", "logkey"]}));
    Caller::new(service.channel(), &token).who_am_i().await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_missing_subject_is_refused() {
    refuses(json!({"sub": null}), NO_SUBJECT).await;
}

#[tokio::test]
async fn a_list_of_subjects_is_refused() {
    refuses(json!({"sub": ["alice"]}), NO_SUBJECT).await;
}

#[tokio::test]
async fn an_empty_subject_is_refused() {
    refuses(json!({"sub": ""}), NO_SUBJECT).await;
}

#[tokio::test]
async fn a_list_of_tenants_is_refused() {
    refuses(json!({"tenant": ["payments"]}), "tenant claim missing or malformed").await;
}

#[tokio::test]
async fn a_tenant_that_is_none_is_refused() {
    refuses(json!({"tenant": "nobody"}), "no tenant for the tenant claim").await;
}

#[tokio::test]
async fn scopes_that_are_no_texts_are_refused() {
    refuses(json!({"scope": [["logkey:read"]]}), "scope claim malformed").await;
}

#[tokio::test]
async fn a_token_bound_to_a_key_that_nobody_checks_is_refused() {
    refuses(json!({"cnf": {"jkt": "x"}}), "bound in a way that is not supported").await;
}

#[tokio::test]
async fn a_claim_that_stands_twice_is_refused_rather_than_the_last_one_taken() {
    refuses_text(|good| good.replacen('{', "{\"tenant\":\"orders\",", 1)).await;
}

#[tokio::test]
async fn a_claim_that_stands_twice_in_two_spellings_is_refused() {
    refuses_text(|good| good.replacen('{', "{\"\\u0074enant\":\"orders\",", 1)).await;
}

#[tokio::test]
async fn a_member_that_stands_twice_within_a_claim_is_refused() {
    refuses_text(|good| good.replacen('{', "{\"x\":{\"a\":1,\"a\":2},", 1)).await;
}
