//! Issuers that are down, and keys that an issuer removed.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::timeout;

use super::{FETCHED_ISSUER, ONCE, answer, call_with_new_token, idp::*, readiness, service_at, until};
use crate::tokens::forge::{Forge, b64};

const UNAVAILABLE: &str = "IDENTITY_PROVIDER_UNAVAILABLE";
/// The longest time that a test waits.
const TIMEOUT: Duration = Duration::from_mins(2);
const STALE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn cached_keys_work_until_stale_and_recover_with_the_issuer() {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Keys(forge.jwks())).await;
    let refresh = format!("every = \"1s\"\ncool_down = \"1s\"\nmax_staleness = \"{}s\"\n", STALE.as_secs());
    let service = service_at(&idp, "keys", &refresh).await;
    assert_eq!(call_with_new_token(&service, &forge).await, "OK");
    until(|| idp.request_count() >= 4).await;
    idp.set_answer(Answer::Fails);
    let (fetches_before, mut accepted_while_down) = (idp.request_count(), 0);
    let down = async {
        loop {
            let failed = idp.request_count() > fetches_before;
            match &*call_with_new_token(&service, &forge).await {
                "OK" => accepted_while_down += usize::from(failed),
                other => return (other.to_owned(), Instant::now()),
            }
        }
    };
    let (answer, at) = timeout(TIMEOUT, down).await.unwrap();
    assert_eq!(answer, UNAVAILABLE);
    assert!(accepted_while_down > 0, "no call succeeded while the issuer was down");
    // The last successful fetch is the newest request or the one before it. It began after the third newest.
    let before = idp.times()[fetches_before - 3];
    assert!(at - before >= STALE, "the keys became stale after {:?}", at - before);
    assert!(readiness(&service).await.contains(FETCHED_ISSUER));

    idp.set_answer(Answer::Keys(forge.jwks()));
    let back = async { while call_with_new_token(&service, &forge).await != "OK" {} };
    timeout(TIMEOUT, back).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_service_starts_while_the_issuer_is_down_and_recovers() {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Fails).await;
    let refresh = "every = \"1s\"\ncool_down = \"1s\"\nmax_staleness = \"1h\"\n";
    let service = service_at(&idp, "keys", refresh).await;
    assert_eq!(call_with_new_token(&service, &forge).await, UNAVAILABLE);
    assert!(readiness(&service).await.contains(FETCHED_ISSUER));
    idp.set_answer(Answer::Keys(forge.jwks()));
    let up = async { while call_with_new_token(&service, &forge).await != "OK" {} };
    timeout(TIMEOUT, up).await.unwrap();
    assert_eq!(readiness(&service).await, "ok\n");
    service.stop().await;
}

#[tokio::test]
async fn an_issuer_without_a_usable_key_is_a_line_while_another_works() {
    let shared = json!({"kty": "oct", "kid": "shared", "k": "c2VjcmV0"});
    let weak = json!({"kty": "RSA", "kid": "weak", "n": b64([0xff; 128]), "e": "AQAB"});
    let idp = Idp::start(Answer::Keys(json!({"keys": [shared, weak]}))).await;
    let service = service_at(&idp, "keys", ONCE).await;
    assert_eq!(call_with_new_token(&service, &Forge::new()).await, "TOKEN_INVALID");
    let ready = reqwest::get(format!("http://{}/readyz", service.admin)).await.unwrap();
    assert_eq!(ready.status(), 200);
    let text = ready.text().await.unwrap();
    assert_eq!(text, format!("ok\nissuer: {FETCHED_ISSUER}: publishes no usable key\n"));
    service.stop().await;
}

#[tokio::test]
async fn a_removed_key_rejects_cached_tokens_within_one_refresh() {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Keys(forge.jwks())).await;
    let refresh = "every = \"1s\"\ncool_down = \"1s\"\nmax_staleness = \"1h\"\n";
    let service = service_at(&idp, "keys", refresh).await;
    let cached_token = forge.token_with_claims(json!({"iss": FETCHED_ISSUER}));
    for _ in 0..3 {
        assert_eq!(answer(&service, &cached_token).await, "OK");
    }
    idp.set_answer(Answer::Keys(Forge::new().jwks()));
    let removed = idp.request_count();
    let stopped = async {
        loop {
            // After one more fetch, the keys of the fetch that no longer had the key are in use.
            let refreshed = idp.request_count() >= removed + 2;
            match &*answer(&service, &cached_token).await {
                "OK" => assert!(!refreshed, "the token works after a refresh without its key"),
                other => return other.to_owned(),
            }
        }
    };
    assert_eq!(timeout(TIMEOUT, stopped).await.unwrap(), "TOKEN_INVALID");
    service.stop().await;
}
