//! Tokens that name keys which nobody has: the issuer is not asked for each.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::{ASKED, ONCE, answer, idp::*, service_at, until};
use crate::{
    harness::Service,
    tokens::forge::{Forge, b64, claims, header, message},
};

const INVALID: &str = "TOKEN_INVALID";
const UNAVAILABLE: &str = "IDENTITY_PROVIDER_UNAVAILABLE";
/// Of an issuer that may be asked each second.
const EACH_SECOND: &str = "every = \"1h\"\ncool_down = \"1s\"\nmax_staleness = \"1h\"\n";

fn junk(nth: usize) -> String {
    let head = header(&json!({"kid": format!("junk-{nth}")})).to_string();
    format!("{}.{}", message(&head, &claims(&json!({"iss": ASKED})).to_string()), b64([7; 64]))
}

/// So many calls, each with another key id, 64 at a time; how they were answered.
async fn flood(service: &Service, calls: usize) -> BTreeMap<String, usize> {
    let all = (0..calls).map(|nth| async move { answer(service, &junk(nth)).await });
    let answers: Vec<String> = stream::iter(all).buffer_unordered(64).collect().await;
    answers.into_iter().fold(BTreeMap::new(), |mut output, answer| {
        *output.entry(answer).or_default() += 1;
        output
    })
}

/// An issuer that answers so is asked once within its cool-down, and callers hear this.
async fn is_asked_once(answer: Answer, refresh: &str, calls: usize, expected: &str) {
    let idp = Idp::start(answer).await;
    let service = service_at(&idp, "keys", refresh).await;
    let mut output = flood(&service, calls).await;
    // Of an address whose tokens keep failing not all are looked at.
    output.remove("OVERLOADED");
    assert_eq!(output.keys().collect::<Vec<_>>(), [expected]);
    assert_eq!(idp.request_count(), 1);
    service.stop().await;
}

#[tokio::test]
async fn ten_thousand_junk_key_ids_cause_one_fetch() {
    let forge = Forge::new();
    is_asked_once(Answer::Keys(forge.jwks()), ONCE, 10_000, INVALID).await;
}

#[tokio::test]
async fn an_issuer_without_any_key_is_asked_once() {
    is_asked_once(Answer::Keys(json!({"keys": []})), ONCE, 500, INVALID).await;
}

#[tokio::test]
async fn an_issuer_that_fails_is_asked_once() {
    is_asked_once(Answer::Fails, ONCE, 500, UNAVAILABLE).await;
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_in_time_is_asked_once() {
    is_asked_once(Answer::Hangs, &format!("{ONCE}timeout = \"1s\"\n"), 500, UNAVAILABLE).await;
}

#[tokio::test]
async fn an_issuer_that_answers_too_much_is_asked_once() {
    is_asked_once(Answer::Text(" ".repeat(2 * 1024 * 1024)), ONCE, 500, UNAVAILABLE).await;
}

/// Under a flood without end such an issuer is asked again after each cool-down, and not before: counted
/// from before each attempt, there were no more of them than seconds.
async fn is_asked_once_a_second(answer: Answer) {
    is_asked_once_per_cool_down(answer, 1, EACH_SECOND).await;
}

/// The same of an issuer whose cool-down takes so many seconds.
async fn is_asked_once_per_cool_down(answer: Answer, cool_down: u64, refresh: &str) {
    let (idp, start) = (Idp::start(answer).await, Instant::now());
    let service = service_at(&idp, "keys", refresh).await;
    while idp.request_count() < 3 {
        flood(&service, 50).await;
        let (request_count, seconds) = (idp.request_count() as u64, start.elapsed().as_secs());
        assert!(request_count <= 1 + seconds / cool_down, "{request_count} times in {seconds} whole seconds");
    }
    assert_eq!(idp.max_concurrent(), 1);
    service.stop().await;
}

#[tokio::test]
async fn after_each_cool_down_an_issuer_is_asked_once_more() {
    is_asked_once_a_second(Answer::Keys(Forge::new().jwks())).await;
}

#[tokio::test]
async fn after_each_cool_down_one_without_any_key_is_asked_once_more() {
    is_asked_once_a_second(Answer::Keys(json!({"keys": []}))).await;
}

#[tokio::test]
async fn after_each_cool_down_one_that_fails_is_asked_once_more() {
    is_asked_once_a_second(Answer::Fails).await;
}

#[tokio::test]
async fn after_each_cool_down_one_that_answers_too_much_is_asked_once_more() {
    is_asked_once_a_second(Answer::Text(" ".repeat(2 * 1024 * 1024))).await;
}

#[tokio::test]
async fn after_each_cool_down_one_that_does_not_answer_in_time_is_asked_once_more() {
    let refresh = "every = \"1h\"\ncool_down = \"3s\"\nmax_staleness = \"1h\"\ntimeout = \"1s\"\n";
    is_asked_once_per_cool_down(Answer::Hangs, 3, refresh).await;
}

#[tokio::test]
async fn one_fetch_is_under_way_at_a_time_however_long_it_takes_and_known_keys_go_on() {
    let forge = Forge::new();
    let idp = Idp::start(Answer::Keys(forge.jwks())).await;
    let service = service_at(&idp, "keys", &format!("{EACH_SECOND}timeout = \"1h\"\n")).await;
    let known_token = forge.claiming(json!({"iss": ASKED}));
    assert_eq!(answer(&service, &known_token).await, "OK");
    idp.says(Answer::Hangs);
    let (service, idp) = (&service, &idp);
    let waiting = async {
        let all = (0..1_000_000).map(|nth| async move { answer(service, &junk(nth)).await });
        stream::iter(all).buffer_unordered(100).for_each(async |_| {}).await;
    };
    let blocked_calls = async {
        until(|| idp.request_count() == 2).await;
        // Another one would be due twice over meanwhile.
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(3) {
            assert_eq!(answer(service, &known_token).await, "OK");
        }
    };
    tokio::select! {
        () = waiting => panic!("they did not wait"),
        () = blocked_calls => {}
    }
    assert_eq!((idp.request_count(), idp.max_concurrent()), (2, 1));
}
