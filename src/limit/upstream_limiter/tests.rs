use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use futures_util::future::join_all;
use tokio::{
    task::JoinSet,
    time::{Instant, advance},
};

use super::limiter::{FIRST_SWEEP, LocalUpstreamLimiter};
use crate::{
    domain::{association::Location, tenant::TenantId},
    limit::{AwsQuota, QueueBounds},
    ports::limit::{AcquireError, Operation, QuotaKey, UpstreamLimiter as _, UpstreamOutcome},
};

fn id(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn quota_key(region: &str) -> QuotaKey {
    let location = Location { account: "111122223333".parse().unwrap(), region: region.parse().unwrap() };
    QuotaKey { location, operation: Operation::AssociateKmsKey }
}

fn limiter() -> Arc<LocalUpstreamLimiter> {
    Arc::new(LocalUpstreamLimiter::new(AwsQuota::default(), QueueBounds::default()))
}

fn within(seconds: u64) -> StdInstant {
    (Instant::now() + Duration::from_secs(seconds)).into_std()
}

/// Spawns calls that go as soon as they get a permit; each returns the milliseconds until then.
fn spawn_calls(
    limiter: &Arc<LocalUpstreamLimiter>,
    tenant: &str,
    calls: usize,
    seconds: u64,
) -> JoinSet<Result<u128, AcquireError>> {
    let start = Instant::now();
    let mut set = JoinSet::new();
    for _ in 0..calls {
        let (limiter, tenant) = (Arc::clone(limiter), id(tenant));
        set.spawn(async move {
            let permit = limiter.acquire(&quota_key("eu-west-1"), &tenant, within(seconds)).await?;
            permit.used(UpstreamOutcome::Counted);
            Ok(start.elapsed().as_millis())
        });
    }
    set
}

#[tokio::test(start_paused = true)]
async fn the_quota_is_never_exceeded_and_fully_used() {
    let mut went: Vec<_> =
        spawn_calls(&limiter(), "a", 100, 60).join_all().await.into_iter().map(Result::unwrap).collect();
    went.sort_unstable();
    assert!(went.windows(2).all(|pair| pair[1] - pair[0] >= 200), "{went:?}");
    assert!(*went.last().unwrap() <= 99 * 202, "{went:?}");
}

#[tokio::test(start_paused = true)]
async fn quota_keys_do_not_wait_for_each_other() {
    let limiter = limiter();
    let start = Instant::now();
    let (a, soon) = (id("a"), within(0));
    let (one, two) = (quota_key("eu-west-1"), quota_key("eu-west-2"));
    let other = QuotaKey { operation: Operation::DescribeLogGroups, ..one.clone() };
    let permits = [&one, &two, &other].map(|quota_key| limiter.acquire(quota_key, &a, soon));
    assert!(join_all(permits).await.into_iter().all(|permit| permit.is_ok()));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_late_tenant_waits_for_one_permit_not_for_all_calls() {
    let limiter = limiter();
    let mut contenders = spawn_calls(&limiter, "crowd", 50, 60);
    tokio::task::yield_now().await;
    advance(Duration::from_millis(1)).await;
    let went = spawn_calls(&limiter, "late", 1, 60).join_all().await.remove(0).unwrap();
    assert!(went <= 410, "{went}");
    contenders.abort_all();
}

#[tokio::test(start_paused = true)]
async fn a_call_without_time_is_rejected_at_once_and_its_retry_succeeds() {
    let limiter = limiter();
    let _crowd = spawn_calls(&limiter, "a", 50, 60);
    tokio::task::yield_now().await;
    let start = Instant::now();
    let (quota_key, a) = (quota_key("eu-west-1"), id("a"));
    let AcquireError { retry_after } = limiter.acquire(&quota_key, &a, within(2)).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!((7..=9).contains(&retry_after.as_secs()), "{retry_after:?}");
    tokio::time::sleep(retry_after).await;
    assert!(limiter.acquire(&quota_key, &a, within(2)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn callers_rejected_together_get_permits_when_they_retry() {
    let limiter = limiter();
    let mut set = JoinSet::new();
    for _ in 0..60 {
        let limiter = Arc::clone(&limiter);
        set.spawn(async move {
            match limiter.acquire(&quota_key("eu-west-1"), &id("a"), within(3)).await {
                Ok(permit) => permit.used(UpstreamOutcome::Counted),
                Err(AcquireError { retry_after }) => {
                    tokio::time::sleep(retry_after).await;
                    limiter
                        .acquire(&quota_key("eu-west-1"), &id("a"), within(3))
                        .await
                        .unwrap()
                        .used(UpstreamOutcome::Counted);
                }
            }
        });
    }
    set.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_became_hopeless_ends_before_the_deadline() {
    let limiter = limiter();
    let mut a = spawn_calls(&limiter, "a", 20, 4);
    tokio::task::yield_now().await;
    let start = Instant::now();
    let _b = spawn_calls(&limiter, "b", 20, 60);
    let mut waits = Vec::new();
    while let Some(result) = a.join_next().await {
        if result.unwrap().is_err() {
            waits.push(start.elapsed().as_millis());
        }
    }
    assert!((8..=12).contains(&waits.len()), "{waits:?}");
    assert!(waits.iter().all(|at| *at <= 500), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn callers_that_leave_use_no_permit() {
    let limiter = limiter();
    let mut leaving = spawn_calls(&limiter, "a", 200, 60);
    tokio::task::yield_now().await;
    leaving.abort_all();
    while leaving.join_next().await.is_some() {}
    let went = spawn_calls(&limiter, "a", 1, 60).join_all().await.remove(0).unwrap();
    assert!(went <= 202, "{went}");
}

#[tokio::test(start_paused = true)]
async fn an_unused_permit_goes_to_the_next_call() {
    let limiter = limiter();
    let (quota_key, a) = (quota_key("eu-west-1"), id("a"));
    let unused = limiter.acquire(&quota_key, &a, within(1)).await.unwrap();
    let mut next = spawn_calls(&limiter, "b", 1, 1);
    tokio::task::yield_now().await;
    drop(unused);
    assert_eq!(next.join_next().await.unwrap().unwrap().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_retry_of_a_throttled_call_goes_first() {
    let limiter = limiter();
    let (quota_key, b) = (quota_key("eu-west-1"), id("b"));
    let throttled = limiter.acquire(&quota_key, &b, within(60)).await.unwrap();
    let mut contenders = spawn_calls(&limiter, "a", 20, 60);
    tokio::task::yield_now().await;
    throttled.used(UpstreamOutcome::Throttled);
    let start = Instant::now();
    limiter.acquire(&quota_key, &b, within(60)).await.unwrap().used(UpstreamOutcome::Counted);
    assert!(start.elapsed() <= Duration::from_millis(260), "{:?}", start.elapsed());
    contenders.abort_all();
}

#[tokio::test(start_paused = true)]
async fn interactive_calls_overtake_bulk_calls() {
    let limiter = limiter();
    let quota_key = quota_key("eu-west-1");
    let (bulk, interactive_tenant) = (id("a"), id("b"));
    let waits = (0..50).map(|_| limiter.acquire_bulk(&quota_key, &bulk, within(60)));
    let mut waits = Box::pin(join_all(waits));
    let interactive = async {
        tokio::task::yield_now().await;
        let start = Instant::now();
        limiter
            .acquire(&quota_key, &interactive_tenant, within(60))
            .await
            .unwrap()
            .used(UpstreamOutcome::Counted);
        start.elapsed()
    };
    let waited = tokio::select! {
        _ = &mut waits => panic!("a bulk call went first"),
        waited = interactive => waited,
    };
    assert!(waited <= Duration::from_millis(210), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_raised_quota_applies_to_waiting_calls() {
    let limiter = limiter();
    let all = spawn_calls(&limiter, "a", 101, 60);
    tokio::task::yield_now().await;
    let fifty = std::num::NonZeroU32::new(50).unwrap();
    limiter.set_upstream(AwsQuota { associate_per_second: Some(fifty), ..AwsQuota::default() });
    let went = all.join_all().await.into_iter().map(Result::unwrap).max().unwrap();
    assert!((2_000..=2_400).contains(&went), "{went}");
}

#[tokio::test(start_paused = true)]
async fn an_account_can_have_a_separate_quota() {
    let fifty = std::num::NonZeroU32::new(50).unwrap();
    let raised = AwsQuota { associate_per_second: Some(fifty), ..AwsQuota::default() };
    let accounts = [("111122223333".parse().unwrap(), raised)].into();
    let limiter = LocalUpstreamLimiter::new(
        crate::limit::AwsQuotas { accounts, ..Default::default() },
        QueueBounds::default(),
    );
    let went = spawn_calls(&Arc::new(limiter), "a", 101, 60).join_all().await;
    let last = went.into_iter().map(Result::unwrap).max().unwrap();
    assert!((2_000..=2_300).contains(&last), "{last}");
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded() {
    let n = |value| NonZeroUsize::new(value).unwrap();
    let bounds = QueueBounds { per_quota_key: n(10), per_tenant: n(6) };
    let limiter = Arc::new(LocalUpstreamLimiter::new(AwsQuota::default(), bounds));
    let result = spawn_calls(&limiter, "a", 30, 600).join_all().await;
    assert_eq!(result.iter().filter(|result| result.is_ok()).count(), 7, "one goes at once and six wait");
}

#[tokio::test(start_paused = true)]
async fn idle_quota_keys_are_removed() {
    let limiter = limiter();
    let a = id("a");
    for i in 0..20 * FIRST_SWEEP {
        limiter
            .acquire(&quota_key(&format!("eu-west-{i}")), &a, within(1))
            .await
            .unwrap()
            .used(UpstreamOutcome::Counted);
        if i % 100 == 0 {
            advance(Duration::from_secs(1)).await;
        }
    }
    assert!(limiter.tracked() <= 2 * FIRST_SWEEP, "{}", limiter.tracked());
}

#[tokio::test(start_paused = true)]
async fn both_priorities_get_their_share_under_constant_load() {
    let limiter = limiter();
    let mut set = JoinSet::new();
    for nth in 0..200 {
        let limiter = Arc::clone(&limiter);
        set.spawn(async move {
            let (quota_key, tenant, bulk) = (quota_key("eu-west-1"), id(["a", "b"][nth / 100]), nth % 2 == 0);
            let permit = if bulk {
                limiter.acquire_bulk(&quota_key, &tenant, within(3_600)).await
            } else {
                limiter.acquire(&quota_key, &tenant, within(3_600)).await
            };
            permit.unwrap().used(UpstreamOutcome::Counted);
            (Instant::now(), bulk)
        });
    }
    let mut went = set.join_all().await;
    went.sort_unstable();
    let bulk_count = went[..100].iter().filter(|(_, bulk)| *bulk).count();
    assert!((19..=21).contains(&bulk_count), "{bulk_count} of the first hundred permits");
}
