mod leases;
mod secured;
mod server;
mod topologies;
mod unreachable;

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use self::server::{Server, backends_with, until};
use super::*;
use crate::{
    domain::{
        association::Location,
        tenant::{Limits, Tenant},
    },
    limit::{AwsQuota, Costs, LocalQuota, LocalUpstreamLimiter, QueueBounds},
    ports::limit::{
        Cost, OverQuota, QuotaKey, QuotaState, TenantQuota as _, UpstreamLimiter as _, UpstreamOutcome,
    },
};

/// The timeout of a decision in tests of the timeout: longer than in production, because the machine may be
/// busy with other tests.
const TEST_TIMEOUT: Duration = Duration::from_secs(1);
/// The timeout in all other tests: after a late reply, each replica would decide alone.
const LONG_TIMEOUT: Duration = Duration::from_secs(15);

fn n(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap()
}

fn tenant(per_second: u32, burst: u32, max_in_flight: u32) -> Tenant {
    Tenant {
        id: "acme".parse().unwrap(),
        issuers: Vec::new(),
        claim_values: Vec::new(),
        suspended: false,
        limits: Limits { per_second: n(per_second), burst: n(burst), max_in_flight: n(max_in_flight) },
        accounts: Vec::new(),
        rules: Vec::new(),
    }
}

fn quotas(backends: &[Arc<RedisBackend>]) -> Vec<SharedQuota> {
    let quota = |backend: &Arc<RedisBackend>| {
        let own = Arc::new(LocalQuota::new(Costs::default()));
        SharedQuota::new(Arc::clone(backend), Costs::default(), own)
    };
    backends.iter().map(quota).collect()
}

/// Sends calls to the quotas in rotation, and returns how many were admitted.
async fn admitted(quotas: &[SharedQuota], tenant: &Tenant, calls: usize) -> usize {
    let mut admitted = 0;
    for quota in quotas.iter().cycle().take(calls) {
        admitted += usize::from(quota.admit(tenant, Cost::Read).await.is_ok());
    }
    admitted
}

/// The whole calls that a tenant earns in this time, over all replicas.
fn earned(tenant: &Tenant, time: Duration) -> usize {
    let secs = usize::try_from(time.as_secs()).unwrap();
    secs * usize::try_from(tenant.limits.per_second.get()).unwrap()
}

/// Asserts that the quotas together admit one burst, plus what is earned meanwhile.
async fn assert_one_burst(quotas: &[SharedQuota], tenant: &Tenant, calls: usize) {
    let start = Instant::now();
    let admitted_count = admitted(quotas, tenant, calls).await;
    let burst = usize::try_from(tenant.limits.burst.get()).unwrap();
    let max = burst + 1 + earned(tenant, start.elapsed());
    assert!((burst..=max).contains(&admitted_count), "{admitted_count} in {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_one_burst_and_a_retry_succeeds() {
    let server = Server::start();
    let quotas = quotas(&server.backends(3, OnBackendError::Share).await);
    let tenant = tenant(1, 30, 1_000);
    assert_one_burst(&quotas, &tenant, 100).await;
    let quota = quotas.first().unwrap();
    let retry_after = loop {
        if let Err(OverQuota::Rate { retry_after, .. }) = quota.admit(&tenant, Cost::Read).await {
            break retry_after;
        }
    };
    sleep(retry_after).await;
    assert!(quota.admit(&tenant, Cost::Read).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_flight_slots_are_counted_across_replicas_and_returned() {
    let server = Server::start();
    let quotas = quotas(&server.backends(3, OnBackendError::Share).await);
    let tenant = tenant(10_000, 10_000, 2);
    let [one, two, three] = quotas.as_slice() else { panic!() };
    let first = one.admit(&tenant, Cost::Read).await.unwrap();
    let second = two.admit(&tenant, Cost::Read).await.unwrap();
    assert_eq!(second.state.in_flight, 2);
    assert!(matches!(three.admit(&tenant, Cost::Read).await, Err(OverQuota::InFlight { .. })));
    drop(first);
    let again = async { while three.admit(&tenant, Cost::Read).await.is_err() {} };
    timeout(Duration::from_secs(5), again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_server_each_replica_uses_its_share() {
    let mut server = Server::start();
    let backends = backends_with(&server.url(), 3, OnBackendError::Share, TEST_TIMEOUT).await;
    let quotas = quotas(&backends);
    let tenant = tenant(1, 30, 1_000);
    server.kill();
    let start = Instant::now();
    let admitted_count = admitted(&quotas, &tenant, 100).await;
    let state = backends.first().unwrap().state();
    assert!(!state.up && state.status.contains("each of 3 replicas"), "{state:?}");
    let max = 33 + earned(&tenant, start.elapsed());
    assert!((30..=max).contains(&admitted_count), "{admitted_count} with three shares of ten");
    assert!(start.elapsed() < 10 * TEST_TIMEOUT, "{:?}", start.elapsed());
    // The replicas report their admissions when the server is back, so there is no second burst.
    server.start_again();
    for backend in &backends {
        until(|| backend.is_up()).await;
    }
    let admitted_count = admitted(&quotas, &tenant, 100).await;
    assert!(
        admitted_count <= 3 + earned(&tenant, start.elapsed()),
        "{admitted_count} more after it was back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_server_is_not_waited_for() {
    let server = Server::start();
    let backends = backends_with(&server.url(), 1, OnBackendError::Refuse, TEST_TIMEOUT).await;
    let quotas = quotas(&backends);
    let tenant = tenant(1_000, 1_000, 1_000);
    assert_eq!(admitted(&quotas, &tenant, 10).await, 10);
    server.signal("-STOP");
    let start = Instant::now();
    let admitted_count = admitted(&quotas, &tenant, 100).await;
    assert!(
        admitted_count <= 10,
        "configured to refuse, only what was leased in advance is admitted: {admitted_count}"
    );
    assert!(start.elapsed() < 10 * TEST_TIMEOUT, "{:?}", start.elapsed());
    assert!(!backends[0].state().up);
    server.signal("-CONT");
    until(|| backends.iter().all(|backend| backend.is_up())).await;
    assert_eq!(admitted(&quotas, &tenant, 10).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_one_rate_and_each_gets_permits() {
    let server = Server::start();
    let backends = server.backends(3, OnBackendError::Share).await;
    let upstream = AwsQuota { associate_per_second: Some(n(50)), ..AwsQuota::default() };
    let (mut calls, start) = (JoinSet::new(), Instant::now());
    // The same number of steps with timers alone, to compare with on a busy machine.
    let steps = tokio::spawn(async move {
        for _ in 0..90 {
            sleep(Duration::from_millis(20)).await;
        }
        start.elapsed()
    });
    for (replica, backend) in backends.iter().enumerate() {
        let limiter =
            Arc::new(LocalUpstreamLimiter::new(upstream, QueueBounds::default()).shared(Arc::clone(backend)));
        for _ in 0..30 {
            let limiter = Arc::clone(&limiter);
            calls.spawn(async move {
                let at = Location {
                    account: "111122223333".parse().unwrap(),
                    region: "eu-west-1".parse().unwrap(),
                };
                let quota_key =
                    QuotaKey { location: at, operation: crate::ports::limit::Operation::AssociateKmsKey };
                let deadline = (Instant::now() + Duration::from_secs(30)).into_std();
                let permit = limiter.acquire(&quota_key, &"acme".parse().unwrap(), deadline).await.unwrap();
                permit.used(UpstreamOutcome::Counted);
                (start.elapsed(), replica)
            });
        }
    }
    let mut sent = calls.join_all().await;
    sent.sort_unstable();
    let last = sent.last().unwrap().0;
    assert!(last >= Duration::from_millis(89 * 20), "90 permits at 50 per second took {last:?}");
    let steps = steps.await.unwrap();
    assert!(last <= steps.mul_f64(1.85), "{last:?}, but the same number of timers took {steps:?}");
    let early = |replica| sent.iter().take(45).filter(|(_, other)| *other == replica).count();
    assert!((0..3).all(|replica| early(replica) >= 8), "{sent:?}");
}
