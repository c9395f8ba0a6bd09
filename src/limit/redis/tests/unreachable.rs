//! The pace toward AWS while the server is gone, and how long a decision waits beside one that hangs.

use std::sync::Mutex;

use super::{
    server::{Server, links_with, until},
    *,
};
use crate::ports::limit::{AcquireError, Operation, UpstreamPermit};

/// What AWS grants here; three replicas have ten of them each.
const PER_SECOND: u32 = 30;
/// What lies between two turns, of all replicas together.
const APART: Duration = Duration::from_millis(33);

fn limiter(link: &Arc<RedisBackend>) -> Arc<LocalUpstreamLimiter> {
    let upstream = AwsQuota { associate_per_second: Some(n(PER_SECOND)), ..AwsQuota::default() };
    Arc::new(LocalUpstreamLimiter::new(upstream, QueueBounds::default()).shared(Arc::clone(link)))
}

async fn permit(paced: &LocalUpstreamLimiter) -> Result<UpstreamPermit, AcquireError> {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let quota_key = QuotaKey { location, operation: Operation::AssociateKmsKey };
    let deadline = (Instant::now() + Duration::from_secs(30)).into_std();
    paced.acquire(&quota_key, &"acme".parse().unwrap(), deadline).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_server_each_replica_goes_on_at_its_share_and_its_return_is_no_burst() {
    let mut server = Server::start();
    let links = server.links(3, OnBackendError::Share).await;
    server.kill();
    until(|| links.iter().all(|link| !link.is_up())).await;
    let went = Arc::new(Mutex::new(Vec::new()));
    let over = Arc::new(AtomicBool::new(false));
    let (mut callers, start) = (JoinSet::new(), Instant::now());
    // As many steps by this machine's clock alone, as busy as it is.
    let steps = tokio::spawn(async move {
        for _ in 0..10 {
            sleep(Duration::from_millis(100)).await;
        }
        start.elapsed()
    });
    for (replica, link) in links.iter().enumerate() {
        let limiter = limiter(link);
        for _ in 0..4 {
            let (limiter, went, over) = (Arc::clone(&limiter), Arc::clone(&went), Arc::clone(&over));
            callers.spawn(async move {
                while !over.load(SeqCst) {
                    permit(&limiter).await.unwrap().used(UpstreamOutcome::Counted);
                    went.lock().unwrap().push((start.elapsed(), replica));
                }
            });
        }
    }
    let so_far = || went.lock().unwrap().len();
    until(|| so_far() >= 30).await;
    let (took, steps) = (start.elapsed(), steps.await.unwrap());
    assert!(took <= 2 * steps, "30 turns took {took:?}, where as many steps alone took {steps:?}");
    let alone = went.lock().unwrap().clone();
    for replica in 0..3 {
        let mut own: Vec<_> =
            alone.iter().filter(|(_, other)| *other == replica).map(|(time, _)| *time).collect();
        own.sort_unstable();
        assert!(own.len() >= 5, "{alone:?}");
        let its_share = |(time, nth): (&Duration, u32)| *time >= Duration::from_millis(100) * nth;
        assert!(own.iter().zip(0..).all(its_share), "{own:?}");
    }

    let back = start.elapsed();
    server.start_again();
    until(|| links.iter().all(|link| link.is_up())).await;
    let enough = so_far() + 30;
    until(|| so_far() >= enough).await;
    over.store(true, SeqCst);
    callers.join_all().await;
    let mut after: Vec<_> = went.lock().unwrap().iter().map(|(time, _)| *time).collect();
    after.retain(|time| *time > back);
    after.sort_unstable();
    // One of each replica alone, one of each early, and one of each that was on its way.
    for (time, nth) in after.iter().zip(0_u32..) {
        let earliest = APART * nth.saturating_sub(10);
        let since = time.saturating_sub(back);
        assert!(since >= earliest, "turn {nth} came {since:?} after the return");
    }
    assert!(links.iter().all(|link| link.requests_sent() > 0), "the server gives turns again");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_to_refuse_give_no_turn_without_the_server_and_no_burst_after() {
    let mut server = Server::start();
    let links = server.links(1, OnBackendError::Refuse).await;
    let limiter = limiter(&links[0]);
    permit(&limiter).await.unwrap().used(UpstreamOutcome::Counted);
    server.kill();
    until(|| !links[0].is_up()).await;
    let start = Instant::now();
    for _ in 0..5 {
        let Err(AcquireError { retry_after }) = permit(&limiter).await else { panic!("a turn from nowhere") };
        assert!(retry_after >= APART, "{retry_after:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(15), "refused long before its deadline");

    server.start_again();
    until(|| links[0].is_up()).await;
    let start = Instant::now();
    for _ in 0..10 {
        permit(&limiter).await.unwrap().used(UpstreamOutcome::Counted);
    }
    assert!(start.elapsed() >= 8 * APART, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_server_that_hangs_a_decision_takes_no_longer_than_is_said() {
    let server = Server::start();
    let links = links_with(&server.url(), 1, OnBackendError::Refuse, TIMEOUT).await;
    let quotas = quotas(&links);
    let (link, quota, tenant) = (&links[0], &quotas[0], tenant(1_000, 1_000, 1_000));
    let mut waited = Vec::new();
    for _ in 0..8 {
        until(|| link.is_up()).await;
        server.signal("-STOP");
        let (requests, start) = (link.requests_sent(), Instant::now());
        let (one, other) = tokio::join!(quota.admit(&tenant, Cost::Read), quota.admit(&tenant, Cost::Read));
        let took = start.elapsed();
        server.signal("-CONT");
        // Else it was known to be gone already, or still answered.
        if link.requests_sent() > requests && one.is_err() && other.is_err() {
            waited.push(took);
        }
    }
    // The least of them, since a busy machine adds to all. A timer may be a millisecond late.
    let min = waited.iter().min().unwrap();
    let bound = 2 * TIMEOUT + Duration::from_millis(2);
    assert!((TIMEOUT..=bound).contains(min), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_at_rest_are_forgotten_by_replicas_too_and_busy_ones_are_not() {
    let server = Server::start();
    let quotas = quotas(&server.links(1, OnBackendError::Refuse).await);
    let quota = &quotas[0];
    let named = |id: &str| Tenant { id: id.parse().unwrap(), ..tenant(1_000, 1_000, 9) };
    let busy = named("busy");
    let _held = quota.admit(&busy, Cost::Read).await.unwrap();
    for nth in 0..1_100 {
        drop(quota.admit(&named(&format!("early{nth}")), Cost::Read).await.unwrap());
    }
    until(|| server.cli(&["keys", "logkey:{early*}:places"]).is_empty()).await;
    // More than were kept when those at rest were looked for last: they are looked for again.
    for nth in 0..1_200 {
        drop(quota.admit(&named(&format!("late{nth}")), Cost::Read).await.unwrap());
    }
    assert!(quota.tracked() <= 1_201, "{}", quota.tracked());
    assert_eq!(quota.state(&busy).in_flight, 1);
}
