//! The current keys: how often they are fetched, and who waits for a fetch.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use super::{
    super::{
        Algorithm, FetchError, Refresh,
        jwks::{FetchKeys, Jwks},
    },
    token_builder::*,
};
use crate::ports::Authenticate;

#[derive(Clone)]
enum Answer {
    Keys(Value),
    Fails,
    Hangs,
    Text(String),
}

/// An issuer whose answer the test sets, and which counts requests.
#[derive(Clone)]
struct Issuer {
    requests: Arc<AtomicUsize>,
    in_flight: Arc<AtomicUsize>,
    answer: Arc<watch::Sender<Answer>>,
}

impl Issuer {
    fn new(answer: Answer) -> Self {
        Self {
            requests: Arc::default(),
            in_flight: Arc::default(),
            answer: Arc::new(watch::Sender::new(answer)),
        }
    }

    fn respond_with(&self, answer: Answer) {
        self.answer.send_replace(answer);
    }

    fn request_count(&self) -> usize {
        self.requests.load(SeqCst)
    }
}

#[async_trait]
impl FetchKeys for Issuer {
    async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        self.requests.fetch_add(1, SeqCst);
        assert_eq!(self.in_flight.fetch_add(1, SeqCst), 0, "two at once");
        let counted = Counted(Arc::clone(&self.in_flight));
        let answer = self.answer.borrow().clone();
        let result = match answer {
            Answer::Keys(keys) => Ok(keys.to_string().into_bytes()),
            Answer::Text(text) => Ok(text.into_bytes()),
            Answer::Fails => Err(FetchError::OtherIssuer),
            Answer::Hangs => std::future::pending().await,
        };
        drop(counted);
        result
    }
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

fn good() -> Answer {
    Answer::Keys(all_keys())
}

fn start(issuer: &Issuer) -> Arc<Jwks> {
    Arc::new(Jwks::start(ISSUER, Refresh::default(), issuer.clone()))
}

fn has(keys: &Jwks, kid: &str) -> bool {
    keys.current().is_ok_and(|keys| keys.find(Some(kid), Algorithm::Es256, true).is_ok())
}

async fn until_started(issuer: &Issuer) {
    while issuer.request_count() == 0 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn many_unknown_key_ids_cause_one_fetch_per_cool_down() {
    for answer in [
        good(),
        Answer::Fails,
        Answer::Keys(json!({"keys": []})),
        Answer::Text("<html>".into()),
        Answer::Text("x".repeat(1024 * 1024)),
    ] {
        let issuer = Issuer::new(answer);
        let keys = start(&issuer);
        until_started(&issuer).await;
        for _ in 0..100_000 {
            keys.refresh().await;
        }
        assert_eq!(issuer.request_count(), 1);
        tokio::time::advance(Refresh::MIN_RETRY).await;
        for _ in 0..1000 {
            keys.refresh().await;
        }
        assert_eq!(issuer.request_count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_issuer_is_called_once_per_cool_down() {
    let issuer = Issuer::new(Answer::Hangs);
    let keys = start(&issuer);
    until_started(&issuer).await;
    let all = (0..1000).map(|_| {
        let keys = Arc::clone(&keys);
        tokio::spawn(async move { keys.refresh().await })
    });
    let mut waited = 0;
    for one in all.collect::<Vec<_>>() {
        waited += usize::from(one.await.unwrap());
    }
    assert_eq!(issuer.request_count(), 1);
    assert_eq!(waited, 256, "the others use the current keys");
    assert!(
        keys.next_attempt() + Refresh::TIMEOUT <= Refresh::MIN_RETRY,
        "the cool-down starts before the attempt"
    );
    sleep(Refresh::MIN_RETRY).await;
    assert_eq!(issuer.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn readers_of_known_keys_do_not_wait_for_a_fetch() {
    let issuer = Issuer::new(good());
    let keys = start(&issuer);
    keys.refresh().await;
    issuer.respond_with(Answer::Hangs);
    while issuer.in_flight.load(SeqCst) == 0 {
        sleep(Duration::from_secs(1)).await;
    }
    let before = tokio::time::Instant::now();
    assert!(has(&keys, "p256"));
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn known_keys_stay_valid_up_to_max_staleness_while_the_issuer_is_down() {
    let issuer = Issuer::new(good());
    let keys = start(&issuer);
    keys.refresh().await;
    issuer.respond_with(Answer::Fails);
    sleep(Refresh::MAX_STALENESS.saturating_sub(Duration::from_secs(1))).await;
    assert!(has(&keys, "p256"));
    sleep(Duration::from_secs(2)).await;
    assert!(keys.current().is_err());
    issuer.respond_with(good());
    sleep(Refresh::MIN_RETRY).await;
    assert!(has(&keys, "p256"), "the keys are valid again after the next fetch");
}

#[tokio::test(start_paused = true)]
async fn keys_are_replaced_atomically_in_the_background() {
    let issuer = Issuer::new(good());
    let keys = start(&issuer);
    keys.refresh().await;
    let before = keys.current().unwrap();
    issuer.respond_with(Answer::Keys(json!({"keys": [P256.jwk_with(json!({"kid": "next"}))]})));
    sleep(Refresh::REFRESH_INTERVAL).await;
    assert!(has(&keys, "next") && !has(&keys, "p256"));
    assert!(before.find(Some("p256"), Algorithm::Es256, true).is_ok(), "a reader of the old set keeps it");
    assert_eq!(issuer.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_disconnects_does_not_end_the_fetch() {
    let issuer = Issuer::new(Answer::Hangs);
    let keys = start(&issuer);
    until_started(&issuer).await;
    let caller = Arc::clone(&keys);
    let task = tokio::spawn(async move { caller.refresh().await });
    tokio::task::yield_now().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(issuer.in_flight.load(SeqCst), 1, "the fetch continues");
}

#[tokio::test(start_paused = true)]
async fn the_first_token_of_a_new_key_is_accepted() {
    let bench = Bench::with(&json!({"keys": [RSA.jwk_with(json!({"kid": "rsa"}))]}), |_| {});
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "key unknown");
    sleep(Duration::from_secs(1)).await;
    std::fs::write(&bench.file, all_keys().to_string()).unwrap();
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "accepted");
}

#[tokio::test(start_paused = true)]
async fn the_service_starts_without_keys_but_is_not_ready() {
    let bench = Bench::with(&all_keys(), |issuer| {
        issuer.keys = super::super::KeySource::JwksFile("/nonexistent/jwks.json".into());
    });
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "unavailable");
    assert_eq!(bench.authn.readiness().problems, [format!("{ISSUER}: the key file cannot be read")]);
    let bench = Bench::new();
    bench.authenticate(&token(json!({}), json!({}))).await.unwrap();
    assert!(bench.authn.readiness().problems.is_empty());
    let bench = Bench::with(&json!({"keys": []}), |_| {});
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "key unknown");
    assert_eq!(bench.authn.readiness().problems, [format!("{ISSUER}: publishes no usable key")]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_unavailable_while_the_issuer_cannot_be_reached() {
    let bench = Bench::with(&json!({"keys": [RSA.jwk_with(json!({"kid": "rsa"}))]}), |_| {});
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "key unknown");
    std::fs::remove_file(&bench.file).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "unavailable");
    let by_known_key = signed(
        &RSA,
        &header(json!({"alg": "RS256", "kid": "rsa"})).to_string(),
        &claims(json!({})).to_string(),
    );
    assert_eq!(bench.reason(&by_known_key).await, "accepted");
}

#[tokio::test(start_paused = true)]
async fn a_reload_of_other_settings_keeps_the_keys() {
    let bench = Bench::new();
    bench.authenticate(&token(json!({}), json!({}))).await.unwrap();
    let mut settings = issuer(ISSUER);
    settings.keys = super::super::KeySource::JwksFile(bench.file.clone());
    settings.audiences = vec!["another".into()];
    std::fs::remove_file(&bench.file).unwrap();
    let config = super::super::Config::new(vec![settings]);
    let authn = bench.authn.with_config(config, Arc::clone(&bench.directory) as _).unwrap();
    let authenticate =
        async |aud: &str| reason(authn.authenticate(&token(json!({}), json!({"aud": aud})), None).await);
    assert_eq!(authenticate("another").await, "accepted");
    assert_eq!(authenticate(AUDIENCE).await, "meant for another audience");
}
