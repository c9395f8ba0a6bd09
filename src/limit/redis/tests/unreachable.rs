//! The upstream limiter while the server is down, and the wait for a hanging server.

use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use super::{
    server::{Server, backends_with, until},
    *,
};
use crate::ports::limit::{AcquireError, Operation, UpstreamPermit};

/// The quota in this test, in calls per second; each of three replicas has a share of ten.
const PER_SECOND: u32 = 30;
/// The time between two permits, over all replicas.
const SPACING: Duration = Duration::from_millis(33);

fn limiter(backend: &Arc<RedisBackend>) -> Arc<LocalUpstreamLimiter> {
    let upstream = AwsQuota { associate_per_second: Some(n(PER_SECOND)), ..AwsQuota::default() };
    Arc::new(LocalUpstreamLimiter::new(upstream, QueueBounds::default()).shared(Arc::clone(backend)))
}

async fn permit(limiter: &LocalUpstreamLimiter) -> Result<UpstreamPermit, AcquireError> {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let quota_key = QuotaKey { location, operation: Operation::AssociateKmsKey };
    let deadline = (Instant::now() + Duration::from_secs(30)).into_std();
    limiter.acquire(&quota_key, &"acme".parse().unwrap(), deadline).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_server_each_replica_uses_its_share_of_the_rate() {
    let mut server = Server::start();
    let backends = server.backends(3, OnBackendError::Share).await;
    server.kill();
    until(|| backends.iter().all(|backend| !backend.is_up())).await;
    let sent = Arc::new(Mutex::new(Vec::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let (mut callers, start) = (JoinSet::new(), Instant::now());
    // The same number of steps with timers alone, to compare with on a busy machine.
    let steps = tokio::spawn(async move {
        for _ in 0..10 {
            sleep(Duration::from_millis(100)).await;
        }
        start.elapsed()
    });
    for (replica, backend) in backends.iter().enumerate() {
        let limiter = limiter(backend);
        for _ in 0..4 {
            let (limiter, sent, stop) = (Arc::clone(&limiter), Arc::clone(&sent), Arc::clone(&stop));
            callers.spawn(async move {
                while !stop.load(SeqCst) {
                    permit(&limiter).await.unwrap().used(UpstreamOutcome::Counted);
                    sent.lock().push((start.elapsed(), replica));
                }
            });
        }
    }
    let sent_count = || sent.lock().len();
    until(|| sent_count() >= 30).await;
    let (took, steps) = (start.elapsed(), steps.await.unwrap());
    assert!(took <= 2 * steps, "30 permits took {took:?}, but the same number of timers took {steps:?}");
    let alone = sent.lock().clone();
    for replica in 0..3 {
        let mut own: Vec<_> =
            alone.iter().filter(|(_, other)| *other == replica).map(|(time, _)| *time).collect();
        own.sort_unstable();
        assert!(own.len() >= 5, "{alone:?}");
        let within_share = |(time, nth): (&Duration, u32)| *time >= Duration::from_millis(100) * nth;
        assert!(own.iter().zip(0..).all(within_share), "{own:?}");
    }

    let back = start.elapsed();
    server.start_again();
    until(|| backends.iter().all(|backend| backend.is_up())).await;
    let enough = sent_count() + 30;
    until(|| sent_count() >= enough).await;
    stop.store(true, SeqCst);
    callers.join_all().await;
    let mut after: Vec<_> = sent.lock().iter().map(|(time, _)| *time).collect();
    after.retain(|time| *time > back);
    after.sort_unstable();
    // Ten more permits may come early: for each replica a local one, an early one, and one in flight.
    for (time, nth) in after.iter().zip(0_u32..) {
        let earliest = SPACING * nth.saturating_sub(10);
        let since = time.saturating_sub(back);
        assert!(since >= earliest, "permit {nth} came {since:?} after the server was back");
    }
    assert!(
        backends.iter().all(|backend| backend.requests_sent() > 0),
        "the server reserves send slots again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_refuse_there_is_no_permit_without_the_server() {
    let mut server = Server::start();
    let backends = server.backends(1, OnBackendError::Refuse).await;
    let limiter = limiter(&backends[0]);
    permit(&limiter).await.unwrap().used(UpstreamOutcome::Counted);
    server.kill();
    until(|| !backends[0].is_up()).await;
    let start = Instant::now();
    for _ in 0..5 {
        let Err(AcquireError { retry_after }) = permit(&limiter).await else {
            panic!("a permit without the server")
        };
        assert!(retry_after >= SPACING, "{retry_after:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(15), "rejected long before the deadline");

    server.start_again();
    until(|| backends[0].is_up()).await;
    let start = Instant::now();
    for _ in 0..10 {
        permit(&limiter).await.unwrap().used(UpstreamOutcome::Counted);
    }
    assert!(start.elapsed() >= 8 * SPACING, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_hanging_server_a_decision_takes_at_most_two_timeouts() {
    let server = Server::start();
    let backends = backends_with(&server.url(), 1, OnBackendError::Refuse, TIMEOUT).await;
    let quotas = quotas(&backends);
    let (backend, quota, tenant) = (&backends[0], &quotas[0], tenant(1_000, 1_000, 1_000));
    let mut waited = Vec::new();
    for _ in 0..8 {
        until(|| backend.is_up()).await;
        server.signal("-STOP");
        let (requests, start) = (backend.requests_sent(), Instant::now());
        let (one, other) = tokio::join!(quota.admit(&tenant, Cost::Read), quota.admit(&tenant, Cost::Read));
        let took = start.elapsed();
        server.signal("-CONT");
        // Otherwise the server was already marked down, or still replied.
        if backend.requests_sent() > requests && one.is_err() && other.is_err() {
            waited.push(took);
        }
    }
    // The minimum, because a busy machine delays all of them. A timer may be a millisecond late.
    let min = waited.iter().min().unwrap();
    let bound = 2 * TIMEOUT + Duration::from_millis(2);
    assert!((TIMEOUT..=bound).contains(min), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_remove_idle_tenants_and_keep_busy_ones() {
    let server = Server::start();
    let quotas = quotas(&server.backends(1, OnBackendError::Refuse).await);
    let quota = &quotas[0];
    let named = |id: &str| Tenant { id: id.parse().unwrap(), ..tenant(1_000, 1_000, 9) };
    let busy = named("busy");
    let _held = quota.admit(&busy, Cost::Read).await.unwrap();
    for nth in 0..1_100 {
        drop(quota.admit(&named(&format!("early{nth}")), Cost::Read).await.unwrap());
    }
    until(|| server.cli(&["keys", "logkey:{early*}:places"]).is_empty()).await;
    // More tenants than at the last removal, so idle ones are removed again.
    for nth in 0..1_200 {
        drop(quota.admit(&named(&format!("late{nth}")), Cost::Read).await.unwrap());
    }
    assert!(quota.tracked() <= 1_201, "{}", quota.tracked());
    assert_eq!(quota.state(&busy).in_flight, 1);
}
