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
fn a_turn_that_was_not_used_is_there_again() {
    let now = Instant::now();
    let mut pacer = Pacer::new(five(), now);
    let sent = pacer.sent(now);
    pacer.on_outcome(now, sent, UpstreamOutcome::NotSent);
    assert_eq!(pacer.next(), now);
}

#[test]
fn an_older_unused_turn_does_not_let_two_go_at_once() {
    let now = Instant::now();
    let mut pacer = Pacer::new(five(), now);
    let first = pacer.sent(now);
    let later = pacer.next();
    pacer.sent(later);
    pacer.on_outcome(later, first, UpstreamOutcome::NotSent);
    assert!(pacer.next() >= later + Duration::from_millis(200));
}

/// A bucket of five, and answers after 10 to 50 ms.
const QUIET: TestEnv = TestEnv {
    burst: 5.0,
    latency: (0.010, 0.050),
    on_the_way: 0.0,
    unseen: 0.0,
    at_random: false,
    unseen_until: f64::INFINITY,
};
const ALONE: TestEnv = TestEnv { burst: 1.0, ..QUIET };
const BESIDE: TestEnv = TestEnv { unseen: 2.0, ..QUIET };

/// What is seen in the mean of many runs.
fn mean(env: TestEnv, from: f64, seconds: f64) -> RunStats {
    let runs = (0..20).map(|nth| run(env, from, seconds, nth));
    runs.fold(RunStats::default(), RunStats::and)
}

#[test]
fn the_quota_is_used_whole_where_nothing_is_in_the_way() {
    for env in [QUIET, ALONE] {
        let measured = mean(env, 0.0, 100.0);
        assert_eq!(measured.throttled, 0, "{env:?}");
        assert!(measured.rate() >= 0.995 * 5.0 - 0.01, "{env:?}: {measured:?}");
    }
}

/// With a bucket of one and calls that overtake each other on their way, nobody can keep the whole
/// quota: the next call has to leave before it is known how long the way is. A pacer that knew the
/// world could be sure of one call each 200 ms and half the jitter of the way.
#[test]
fn jitter_on_the_way_to_a_bucket_of_one_costs_little_more_than_it_must() {
    for (on_the_way, best) in [(0.5, 1.0 / 0.210), (1.0, 1.0 / 0.220)] {
        let measured = mean(TestEnv { on_the_way, ..ALONE }, 100.0, 300.0);
        assert!(measured.rate() >= 0.97 * best, "{on_the_way}: {measured:?}");
        assert!(measured.throttles() <= 0.01, "{on_the_way}: {measured:?}");
    }
}

#[test]
fn a_bucket_of_one_is_learned_within_a_hundred_calls() {
    for on_the_way in [0.5, 1.0] {
        let measured = mean(TestEnv { on_the_way, ..ALONE }, 0.0, 20.0);
        assert!(measured.throttles() <= 0.08, "{on_the_way}: {measured:?}");
    }
}

#[test]
fn jitter_of_a_few_milliseconds_on_the_way_is_borne() {
    let measured = mean(TestEnv { latency: (0.000_5, 0.003_5), on_the_way: 1.0, ..ALONE }, 0.0, 100.0);
    assert!(measured.rate() >= 0.96 * 5.0, "{measured:?}");
    assert!(measured.throttles() <= 0.01, "{measured:?}");
}

#[test]
fn what_someone_unseen_leaves_is_found_and_used() {
    for at_random in [false, true] {
        let measured = mean(TestEnv { at_random, ..BESIDE }, 0.0, 200.0);
        assert!(measured.rate() >= 0.95 * 3.0, "{at_random}: {measured:?}");
        assert!(measured.throttles() <= 0.05, "{at_random}: {measured:?}");
    }
}

#[test]
fn the_quota_is_taken_back_within_a_minute_when_the_unseen_stops() {
    let measured = mean(TestEnv { unseen_until: 100.0, ..BESIDE }, 160.0, 100.0);
    assert!(measured.rate() >= 0.98 * 5.0, "{measured:?}");
    assert!(measured.throttles() <= 0.001, "{measured:?}");
}

#[test]
fn constant_throttling_is_met_with_a_tenth_of_the_quota() {
    let now = Instant::now();
    let mut pacer = Pacer::new(five(), now);
    for _ in 0..100 {
        let sent = pacer.sent(now);
        pacer.on_outcome(now, sent, UpstreamOutcome::Throttled);
    }
    assert!((0.4..=0.6).contains(&pacer.effective_rate()), "{}", pacer.effective_rate());
    assert!(!pacer.is_at_quota());
}
