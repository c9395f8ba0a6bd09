mod model;

use self::model::{RunStats, TestEnv, run};
use super::*;

fn five() -> NonZeroU32 {
    NonZeroU32::new(5).unwrap()
}

#[test]
fn calls_are_spaced_at_the_quota() {
    let now = Instant::now();
    let mut pacer = Pacer::new(five(), now);
    assert_eq!(pacer.next(), now);
    pacer.sent(now);
    let spacing = pacer.next() - now;
    assert!((200..=202).contains(&spacing.as_millis()), "{spacing:?}");
}

#[test]
fn an_unused_permit_becomes_available_again() {
    let now = Instant::now();
    let mut pacer = Pacer::new(five(), now);
    let sent = pacer.sent(now);
    pacer.on_outcome(now, sent, UpstreamOutcome::NotSent);
    assert_eq!(pacer.next(), now);
}

#[test]
fn an_older_unused_permit_does_not_allow_two_calls_at_once() {
    let now = Instant::now();
    let mut pacer = Pacer::new(five(), now);
    let first = pacer.sent(now);
    let later = pacer.next();
    pacer.sent(later);
    pacer.on_outcome(later, first, UpstreamOutcome::NotSent);
    assert!(pacer.next() >= later + Duration::from_millis(200));
}

/// A bucket of five tokens, and responses after 10 to 50 ms.
const QUIET: TestEnv = TestEnv {
    burst: 5.0,
    latency: (0.010, 0.050),
    before_bucket: 0.0,
    other_rate: 0.0,
    at_random: false,
    other_until: f64::INFINITY,
};
const BUCKET_OF_ONE: TestEnv = TestEnv { burst: 1.0, ..QUIET };
const OTHER_CLIENT: TestEnv = TestEnv { other_rate: 2.0, ..QUIET };

/// The mean of many runs.
fn mean(env: TestEnv, from: f64, seconds: f64) -> RunStats {
    let runs = (0..20).map(|nth| run(env, from, seconds, nth));
    runs.fold(RunStats::default(), RunStats::and)
}

#[test]
fn the_whole_quota_is_used_without_jitter_or_other_clients() {
    for env in [QUIET, BUCKET_OF_ONE] {
        let measured = mean(env, 0.0, 100.0);
        assert_eq!(measured.throttled, 0, "{env:?}");
        assert!(measured.rate() >= 0.995 * 5.0 - 0.01, "{env:?}: {measured:?}");
    }
}

/// With a bucket of one and calls that overtake each other, no pacer can use the whole quota: it sends the
/// next call before it knows the latency. A pacer that knew the model could send one call per 200 ms plus
/// half the jitter before the bucket.
#[test]
fn jitter_with_a_bucket_of_one_costs_little_more_than_it_must() {
    for (before_bucket, best) in [(0.5, 1.0 / 0.210), (1.0, 1.0 / 0.220)] {
        let measured = mean(TestEnv { before_bucket, ..BUCKET_OF_ONE }, 100.0, 300.0);
        assert!(measured.rate() >= 0.97 * best, "{before_bucket}: {measured:?}");
        assert!(measured.throttles() <= 0.01, "{before_bucket}: {measured:?}");
    }
}

#[test]
fn a_bucket_of_one_is_learned_within_a_hundred_calls() {
    for before_bucket in [0.5, 1.0] {
        let measured = mean(TestEnv { before_bucket, ..BUCKET_OF_ONE }, 0.0, 20.0);
        assert!(measured.throttles() <= 0.08, "{before_bucket}: {measured:?}");
    }
}

#[test]
fn jitter_of_a_few_milliseconds_is_tolerated() {
    let measured =
        mean(TestEnv { latency: (0.000_5, 0.003_5), before_bucket: 1.0, ..BUCKET_OF_ONE }, 0.0, 100.0);
    assert!(measured.rate() >= 0.96 * 5.0, "{measured:?}");
    assert!(measured.throttles() <= 0.01, "{measured:?}");
}

#[test]
fn what_another_client_leaves_is_found_and_used() {
    for at_random in [false, true] {
        let measured = mean(TestEnv { at_random, ..OTHER_CLIENT }, 0.0, 200.0);
        assert!(measured.rate() >= 0.95 * 3.0, "{at_random}: {measured:?}");
        assert!(measured.throttles() <= 0.05, "{at_random}: {measured:?}");
    }
}

#[test]
fn the_quota_is_regained_within_a_minute_of_another_client() {
    let measured = mean(TestEnv { other_until: 100.0, ..OTHER_CLIENT }, 160.0, 100.0);
    assert!(measured.rate() >= 0.98 * 5.0, "{measured:?}");
    assert!(measured.throttles() <= 0.001, "{measured:?}");
}

#[test]
fn constant_throttling_lowers_the_rate_to_a_tenth() {
    let now = Instant::now();
    let mut pacer = Pacer::new(five(), now);
    for _ in 0..100 {
        let sent = pacer.sent(now);
        pacer.on_outcome(now, sent, UpstreamOutcome::Throttled);
    }
    assert!((0.4..=0.6).contains(&pacer.effective_rate()), "{}", pacer.effective_rate());
    assert!(!pacer.is_at_quota());
}
