use std::time::Duration;

use super::*;
use crate::domain::{
    audit::{Actor, AuditOperation, Completion, Kind},
    time::Timestamp,
};

fn refusal(cause: Reason, tenant: Option<&str>, source: &str) -> Event {
    let actor = Actor {
        tenant: tenant.map(|tenant| tenant.parse().unwrap()),
        source: Some(source.parse().unwrap()),
        ..Actor::default()
    };
    let end = Some(Completion { failure: Some(cause), aws_error: None, latency: Duration::ZERO });
    Event {
        kind: Kind::Refusal,
        actor,
        end,
        ..Event::for_service(AuditOperation::Start, Timestamp::from_secs(1))
    }
}

/// Adds all refusals to one window. Returns how many were recorded in full, and the counts of the rest.
fn window(config: &Config, refusals: impl IntoIterator<Item = Event>) -> (usize, Vec<u32>) {
    let (mut dedup, now) = (RefusalDedup::default(), Instant::now());
    let whole = refusals.into_iter().filter_map(|event| dedup.admit(event, config, now)).count();
    let mut counts: Vec<u32> = dedup.take_summaries().map(|event| event.count).collect();
    counts.sort_unstable();
    (whole, counts)
}

#[test]
fn every_refusal_is_recorded_in_full_or_counted_once() {
    let config = Config { whole: 5, ..Config::default() };
    let equal = || refusal(Reason::TokenInvalid, None, "192.0.2.1");
    assert_eq!(window(&config, std::iter::repeat_with(equal).take(10_000)), (5, vec![9_995]));
    // An event that already represents several refusals counts as that many.
    let many = Event { count: 7, ..equal() };
    assert_eq!(window(&config, std::iter::repeat_n(many, 8)), (5, vec![21]));
}

#[test]
fn kinds_differ_by_cause_tenant_and_source() {
    let config = Config { whole: 1, ..Config::default() };
    let separate = [
        refusal(Reason::TokenInvalid, None, "192.0.2.1"),
        refusal(Reason::TokenExpired, None, "192.0.2.1"),
        refusal(Reason::TokenInvalid, Some("payments"), "192.0.2.1"),
        refusal(Reason::TokenInvalid, None, "192.0.2.2"),
        refusal(Reason::TokenInvalid, None, "2001:db8:0:1::1"),
        refusal(Reason::TokenInvalid, None, "2001:db8:0:2::1"),
    ];
    let twice = separate.iter().chain(&separate).cloned();
    assert_eq!(window(&config, twice), (6, vec![1; 6]));
    let one_network = (0..100).map(|n| refusal(Reason::TokenInvalid, None, &format!("2001:db8::{n:x}")));
    assert_eq!(window(&config, one_network), (1, vec![99]));
}

#[test]
fn the_first_refusal_of_each_kind_is_always_recorded_in_full() {
    let config = Config { whole: 5, whole_in_all: 20, ..Config::default() };
    let noisy = (0..4)
        .flat_map(|n| std::iter::repeat_n(refusal(Reason::TokenInvalid, None, &format!("192.0.2.{n}")), 100));
    let late = (0..50).map(|n| refusal(Reason::NotAllowed, Some("payments"), &format!("198.51.100.{n}")));
    let later = (0..50).map(|n| refusal(Reason::NotAllowed, Some("payments"), &format!("198.51.100.{n}")));
    let (whole, counts) = window(&config, noisy.chain(late).chain(later));
    assert_eq!(whole, 20 + 50);
    assert_eq!(counts, [vec![1; 50], vec![95; 4]].concat());
}

#[test]
fn sources_beyond_the_bound_are_counted_together_by_their_cause() {
    let config = Config { whole: 1, whole_in_all: 1, kinds: 10, ..Config::default() };
    let source = |n: u32| format!("203.0.{}.{}", n / 250, n % 250);
    let many = (0..1_000).map(|n| {
        let cause = if n % 2 == 0 { Reason::TokenInvalid } else { Reason::TokenMissing };
        refusal(cause, None, &source(n))
    });
    let (whole, counts) = window(&config, many);
    // Ten sources are distinguished. The other refusals form one kind for each cause.
    assert_eq!((whole, counts), (12, vec![494; 2]));
}

#[test]
fn a_window_begins_with_the_first_refusal_and_ends_once() {
    let (config, now) = (Config::default(), Instant::now());
    let mut dedup = RefusalDedup::default();
    assert_eq!(dedup.expires_at(), None);
    let event = || refusal(Reason::TokenInvalid, None, "192.0.2.1");
    for n in 0..20 {
        dedup.admit(event(), &config, now + Duration::from_secs(n));
    }
    assert_eq!(dedup.expires_at(), Some(now + config.window));
    assert_eq!(dedup.take_summaries().count(), 1);
    assert_eq!((dedup.expires_at(), dedup.take_summaries().count()), (None, 0));
    assert!(dedup.admit(event(), &config, now).is_some(), "a new window records its first refusal in full");
}
