//! Floods of tokens with unknown key ids: the service does not fetch the keys for each token.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::{FETCHED_ISSUER, ONCE, answer, idp::*, service_at, until};
use crate::{
    harness::Service,
    tokens::forge::{Forge, b64, claims, header, message},
};

const INVALID: &str = "TOKEN_INVALID";
const UNAVAILABLE: &str = "IDENTITY_PROVIDER_UNAVAILABLE";
/// Refresh settings that allow a fetch each second.
const EACH_SECOND: &str = "every = \"1h\"\ncool_down = \"1s\"\nmax_staleness = \"1h\"\n";

fn token_with_unknown_key(nth: usize) -> String {
    let head = header(&json!({"kid": format!("junk-{nth}")})).to_string();
    format!("{}.{}", message(&head, &claims(&json!({"iss": FETCHED_ISSUER})).to_string()), b64([7; 64]))
}

/// Makes this number of calls, 64 at a time, each with another key id, and counts the results.
async fn flood(service: &Service, calls: usize) -> BTreeMap<String, usize> {
    let all = (0..calls).map(|nth| async move { answer(service, &token_with_unknown_key(nth)).await });
    let answers: Vec<String> = stream::iter(all).buffer_unordered(64).collect().await;
    answers.into_iter().fold(BTreeMap::new(), |mut counts, answer| {
        *counts.entry(answer).or_default() += 1;
        counts
    })
}

/// Asserts that the service fetches once within the cool-down, and that the callers get this reason.
async fn assert_fetched_once(answer: Answer, refresh: &str, calls: usize, expected: &str) {
    let idp = Idp::start(answer).await;
    let service = service_at(&idp, "keys", refresh).await;
    let mut counts = flood(&service, calls).await;
    // The server does not verify every token of an address whose tokens keep failing.
    counts.remove("OVERLOADED");
    assert_eq!(counts.keys().collect::<Vec<_>>(), [expected]);
    assert_eq!(idp.request_count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn ten_thousand_unknown_key_ids_cause_one_fetch() {
    let forge = Forge::new();
    assert_fetched_once(Answer::Keys(forge.jwks()), ONCE, 10_000, INVALID).await;
}

#[tokio::test]
async fn an_issuer_without_keys_gets_one_request() {
    assert_fetched_once(Answer::Keys(json!({"keys": []})), ONCE, 500, INVALID).await;
}

#[tokio::test]
async fn an_issuer_that_fails_gets_one_request() {
    assert_fetched_once(Answer::Fails, ONCE, 500, UNAVAILABLE).await;
}

#[tokio::test]
async fn an_issuer_that_times_out_gets_one_request() {
    assert_fetched_once(Answer::Hangs, &format!("{ONCE}timeout = \"1s\"\n"), 500, UNAVAILABLE).await;
}

#[tokio::test]
async fn an_issuer_with_a_too_long_response_gets_one_request() {
    assert_fetched_once(Answer::Text(" ".repeat(2 * 1024 * 1024)), ONCE, 500, UNAVAILABLE).await;
}

/// Asserts that the service fetches again after each cool-down of one second, and not before, during a flood
/// without end.
async fn assert_fetched_once_a_second(answer: Answer) {
    assert_fetched_once_per_cool_down(answer, 1, EACH_SECOND).await;
}

/// The same assertion for a cool-down of this number of seconds.
async fn assert_fetched_once_per_cool_down(answer: Answer, cool_down: u64, refresh: &str) {
    let (idp, start) = (Idp::start(answer).await, Instant::now());
    let service = service_at(&idp, "keys", refresh).await;
    while idp.request_count() < 3 {
        flood(&service, 50).await;
        let (fetches, seconds) = (idp.request_count() as u64, start.elapsed().as_secs());
        assert!(fetches <= 1 + seconds / cool_down, "{fetches} fetches in {seconds} whole seconds");
    }
    assert_eq!(idp.max_concurrent(), 1);
    service.stop().await;
}

#[tokio::test]
async fn after_each_cool_down_the_keys_are_fetched_once() {
    assert_fetched_once_a_second(Answer::Keys(Forge::new().jwks())).await;
}

#[tokio::test]
async fn after_each_cool_down_an_issuer_without_keys_gets_one_request() {
    assert_fetched_once_a_second(Answer::Keys(json!({"keys": []}))).await;
}

#[tokio::test]
async fn after_each_cool_down_a_failing_issuer_gets_one_request() {
    assert_fetched_once_a_second(Answer::Fails).await;
}

#[tokio::test]
async fn after_each_cool_down_a_too_long_response_is_fetched_once() {
    assert_fetched_once_a_second(Answer::Text(" ".repeat(2 * 1024 * 1024))).await;
}

#[tokio::test]
async fn after_each_cool_down_an_issuer_that_times_out_gets_one_request() {
    let refresh = "every = \"1h\"\ncool_down = \"3s\"\nmax_staleness = \"1h\"\ntimeout = \"1s\"\n";
    assert_fetched_once_per_cool_down(Answer::Hangs, 3, refresh).await;
}

#[tokio::test]
async fn a_slow_fetch_is_the_only_one_and_cached_keys_still_work() {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Keys(forge.jwks())).await;
    let service = service_at(&idp, "keys", &format!("{EACH_SECOND}timeout = \"1h\"\n")).await;
    let cached_token = forge.token_with_claims(json!({"iss": FETCHED_ISSUER}));
    assert_eq!(answer(&service, &cached_token).await, "OK");
    idp.set_answer(Answer::Hangs);
    let (service, idp) = (&service, &idp);
    let waiting_calls = async {
        let all =
            (0..1_000_000).map(|nth| async move { answer(service, &token_with_unknown_key(nth)).await });
        stream::iter(all).buffer_unordered(100).for_each(async |_| {}).await;
    };
    let cached_calls = async {
        until(|| idp.request_count() == 2).await;
        // In this time, two more fetches would be due.
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(3) {
            assert_eq!(answer(service, &cached_token).await, "OK");
        }
    };
    tokio::select! {
        () = waiting_calls => panic!("the calls did not wait for the fetch"),
        () = cached_calls => {}
    }
    assert_eq!((idp.request_count(), idp.max_concurrent()), (2, 1));
}
