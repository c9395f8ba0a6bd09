use std::num::NonZeroU32;

use super::*;

fn n(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap()
}

fn tenant(id: &str, per_second: u32, burst: u32, max_in_flight: u32) -> Tenant {
    Tenant {
        id: id.parse().unwrap(),
        issuers: Vec::new(),
        claim_values: Vec::new(),
        suspended: false,
        limits: Limits { per_second: n(per_second), burst: n(burst), max_in_flight: n(max_in_flight) },
        accounts: Vec::new(),
        rules: Vec::new(),
    }
}

fn quota() -> LocalQuota {
    LocalQuota::new(Costs::default())
}

fn rate_wait(refusal: OverQuota) -> Duration {
    match refusal {
        OverQuota::Rate { retry_after, .. } => retry_after,
        OverQuota::InFlight { .. } => panic!("{refusal:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_tenant_cannot_use_anothers_quota() {
    let (quota, a, b) = (quota(), tenant("a", 1, 1, 9), tenant("b", 1, 1, 9));
    assert!(quota.admit(&a, Cost::Read).await.is_ok());
    assert!(quota.admit(&a, Cost::Read).await.is_err());
    assert!(quota.admit(&b, Cost::Read).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_succeeds_after_its_retry_delay() {
    let (quota, a) = (quota(), tenant("a", 3, 5, 9));
    for _ in 0..50 {
        if let Err(refusal) = quota.admit(&a, Cost::Change).await {
            tokio::time::advance(rate_wait(refusal)).await;
            assert!(quota.admit(&a, Cost::Change).await.is_ok());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reads_and_changes_have_the_configured_costs() {
    let quota = LocalQuota::new(Costs { read: n(1), change: n(5) });
    let a = tenant("a", 1, 10, 9);
    assert_eq!(quota.admit(&a, Cost::Change).await.unwrap().state.remaining, 5);
    assert_eq!(quota.admit(&a, Cost::Read).await.unwrap().state.remaining, 4);
    assert_eq!(rate_wait(quota.admit(&a, Cost::Change).await.unwrap_err()), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_in_flight_slot_is_freed_when_the_call_ends() {
    let (quota, a) = (quota(), tenant("a", 100, 100, 2));
    let first = quota.admit(&a, Cost::Read).await.unwrap();
    let second = quota.admit(&a, Cost::Read).await.unwrap();
    assert_eq!(second.state.in_flight, 2);
    let over_quota = quota.admit(&a, Cost::Read).await.unwrap_err();
    assert!(
        matches!(over_quota, OverQuota::InFlight { state: QuotaState { remaining: 98, .. }, .. }),
        "{over_quota:?}"
    );
    drop(first);
    assert_eq!(quota.admit(&a, Cost::Read).await.unwrap().state.in_flight, 2);
}

#[tokio::test(start_paused = true)]
async fn new_limits_apply_from_the_next_call() {
    let quota = quota();
    assert!(quota.admit(&tenant("a", 1, 1, 9), Cost::Read).await.is_ok());
    assert!(quota.admit(&tenant("a", 1, 1, 9), Cost::Read).await.is_err());
    assert_eq!(quota.admit(&tenant("a", 1_000, 1_000, 9), Cost::Read).await.unwrap().state.remaining, 998);
}

#[tokio::test(start_paused = true)]
async fn reading_the_state_costs_nothing() {
    let (quota, a) = (quota(), tenant("a", 10, 20, 9));
    assert_eq!(quota.state(&a).remaining, 20);
    assert_eq!(quota.tracked(), 0);
    let _admission = quota.admit(&a, Cost::Read).await.unwrap();
    for _ in 0..3 {
        let state = quota.state(&a);
        assert_eq!(state, QuotaState { remaining: 19, reset: Duration::from_millis(100), in_flight: 1 });
    }
}

#[tokio::test(start_paused = true)]
async fn idle_tenants_are_removed_and_busy_ones_are_not() {
    let quota = quota();
    let busy = tenant("busy", 1_000, 1_000, 9);
    let _held = quota.admit(&busy, Cost::Read).await.unwrap();
    for i in 0..20 * FIRST_SWEEP {
        drop(quota.admit(&tenant(&format!("t{i}"), 1_000, 1, 1), Cost::Read).await.unwrap());
        if i % 100 == 0 {
            tokio::time::advance(Duration::from_millis(10)).await;
        }
    }
    assert!(quota.tracked() <= 2 * FIRST_SWEEP, "{}", quota.tracked());
    assert_eq!(quota.state(&busy).in_flight, 1);
}
