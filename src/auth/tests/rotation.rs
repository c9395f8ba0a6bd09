//! Keys in use: fetched seldom, aside, and never waited for without need.

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

/// An issuer that answers as told, and counts.
#[derive(Clone)]
struct Issuer {
    requests: Arc<AtomicUsize>,
    at_once: Arc<AtomicUsize>,
    answer: Arc<watch::Sender<Answer>>,
}

impl Issuer {
    fn new(answer: Answer) -> Self {
        Self {
            requests: Arc::default(),
            at_once: Arc::default(),
            answer: Arc::new(watch::Sender::new(answer)),
        }
    }

    fn says(&self, answer: Answer) {
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
        assert_eq!(self.at_once.fetch_add(1, SeqCst), 0, "two at once");
        let counted = Counted(Arc::clone(&self.at_once));
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
    keys.current().is_ok_and(|keys| keys.find(Some(kid), Algorithm::Es256).is_ok())
}

async fn until_started(issuer: &Issuer) {
    while issuer.request_count() == 0 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_ids_costs_one_fetch_per_cool_down_however_it_ends() {
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
async fn an_issuer_that_hangs_is_asked_once_per_cool_down_and_one_at_a_time() {
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
    assert_eq!(waited, 256, "the others are answered from what is known");
    assert!(
        keys.next_attempt() + Refresh::TIMEOUT <= Refresh::MIN_RETRY,
        "it counts from before the attempt"
    );
    sleep(Refresh::MIN_RETRY).await;
    assert_eq!(issuer.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn readers_of_known_keys_do_not_wait_for_a_fetch() {
    let issuer = Issuer::new(good());
    let keys = start(&issuer);
    keys.refresh().await;
    issuer.says(Answer::Hangs);
    while issuer.at_once.load(SeqCst) == 0 {
        sleep(Duration::from_secs(1)).await;
    }
    let before = tokio::time::Instant::now();
    assert!(has(&keys, "p256"));
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn known_keys_outlive_an_issuer_that_is_down_to_a_stated_age_and_no_longer() {
    let issuer = Issuer::new(good());
    let keys = start(&issuer);
    keys.refresh().await;
    issuer.says(Answer::Fails);
    sleep(Refresh::MAX_STALENESS.saturating_sub(Duration::from_secs(1))).await;
    assert!(has(&keys, "p256"));
    sleep(Duration::from_secs(2)).await;
    assert!(keys.current().is_err());
    issuer.says(good());
    sleep(Refresh::MIN_RETRY).await;
    assert!(has(&keys, "p256"), "and it comes back by itself");
}

#[tokio::test(start_paused = true)]
async fn keys_are_swapped_whole_in_the_background() {
    let issuer = Issuer::new(good());
    let keys = start(&issuer);
    keys.refresh().await;
    let before = keys.current().unwrap();
    issuer.says(Answer::Keys(json!({"keys": [P256.jwk_with(json!({"kid": "next"}))]})));
    sleep(Refresh::REFRESH_INTERVAL).await;
    assert!(has(&keys, "next") && !has(&keys, "p256"));
    assert!(before.find(Some("p256"), Algorithm::Es256).is_ok(), "who reads the old set goes on reading it");
    assert_eq!(issuer.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_does_not_end_the_fetch() {
    let issuer = Issuer::new(Answer::Hangs);
    let keys = start(&issuer);
    until_started(&issuer).await;
    let caller = Arc::clone(&keys);
    let task = tokio::spawn(async move { caller.refresh().await });
    tokio::task::yield_now().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(issuer.at_once.load(SeqCst), 1, "it goes on");
}

#[tokio::test(start_paused = true)]
async fn a_key_made_a_moment_ago_is_found_by_the_first_token_it_signs() {
    let bench = Bench::with(&json!({"keys": [RSA.jwk_with(json!({"kid": "rsa"}))]}), |_| {});
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "key unknown");
    sleep(Duration::from_secs(1)).await;
    std::fs::write(&bench.file, all_keys().to_string()).unwrap();
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "accepted");
}

#[tokio::test(start_paused = true)]
async fn a_start_without_the_keys_works_and_readiness_says_so() {
    let bench = Bench::with(&all_keys(), |issuer| {
        issuer.keys = super::super::KeySource::JwksFile("/nonexistent/jwks.json".into());
    });
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "unavailable");
    assert_eq!(bench.authn.unready(), [format!("{ISSUER}: the file of keys cannot be read")]);
    let bench = Bench::new();
    bench.authenticate(&token(json!({}), json!({}))).await.unwrap();
    assert!(bench.authn.unready().is_empty());
    let bench = Bench::with(&json!({"keys": []}), |_| {});
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "key unknown");
    assert_eq!(bench.authn.unready(), [format!("{ISSUER}: publishes no key that can be used")]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_unavailable_rather_than_refused_while_the_issuer_cannot_be_asked() {
    let bench = Bench::with(&json!({"keys": [RSA.jwk_with(json!({"kid": "rsa"}))]}), |_| {});
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "key unknown");
    std::fs::remove_file(&bench.file).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.reason(&token(json!({}), json!({}))).await, "unavailable");
    let key_set = signed(
        &RSA,
        &header(json!({"alg": "RS256", "kid": "rsa"})).to_string(),
        &claims(json!({})).to_string(),
    );
    assert_eq!(bench.reason(&key_set).await, "accepted");
}

#[tokio::test(start_paused = true)]
async fn keys_stay_in_use_over_a_change_of_other_settings() {
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
