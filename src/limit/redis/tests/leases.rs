//! What replicas take ahead of use: few round trips, and no more than is said.

use super::{server::Server, *};

/// Calls without pause for some time, by so many tasks a replica; how many there were, how many of them
/// were admitted, and how many were under way at most.
async fn hammered(
    quotas: Vec<SharedQuota>,
    tenant: &Tenant,
    tasks: usize,
    time: Duration,
) -> (u32, u32, u32) {
    let requests = Arc::new(AtomicU32::new(0));
    let (admitted, (now, max)) =
        (Arc::new(AtomicU32::new(0)), (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))));
    let (mut callers, end) = (JoinSet::new(), Instant::now() + time);
    for quota in quotas.into_iter().map(Arc::new) {
        for _ in 0..tasks {
            let (quota, tenant) = (Arc::clone(&quota), tenant.clone());
            let (admitted, now, max) = (Arc::clone(&admitted), Arc::clone(&now), Arc::clone(&max));
            let requests = Arc::clone(&requests);
            callers.spawn(async move {
                while Instant::now() < end {
                    requests.fetch_add(1, SeqCst);
                    if let Ok(admission) = quota.admit(&tenant, Cost::Read).await {
                        admitted.fetch_add(1, SeqCst);
                        max.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                        tokio::task::yield_now().await;
                        now.fetch_sub(1, SeqCst);
                        drop(admission);
                    } else {
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
    }
    callers.join_all().await;
    (requests.load(SeqCst), admitted.load(SeqCst), max.load(SeqCst))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_replica_asks_for_many_calls_at_once() {
    let server = Server::start();
    let links = server.links(3, OnBackendError::Share).await;
    let quotas = quotas(&links);
    let (tenant, start) = (tenant(100_000, 100_000, 1_000), Instant::now());
    assert_eq!(admitted(&quotas, &tenant, 6_000).await, 6_000);
    let requests: u64 = links.iter().map(|link| link.requests_sent()).sum();
    // What is taken ahead lasts for so long: whoever calls more slowly asks more often for a call.
    let lives = start.elapsed().as_millis().div_ceil(token_lease::LEASE_TTL.as_millis());
    let max = 1_500 + 3 * u64::try_from(lives).unwrap();
    assert!(requests <= max, "{requests} round trips for 6,000 calls in {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_ahead_breaks_no_bound_by_more_than_is_said() {
    let server = Server::start();
    let links = server.links(3, OnBackendError::Refuse).await;
    let tenant = tenant(500, 200, 7);
    let start = Instant::now();
    let (requests, admitted, max) = hammered(quotas(&links), &tenant, 4, Duration::from_secs(2)).await;
    let earned = (start.elapsed() + token_lease::LEASE_TTL).as_secs_f64() * 500.0;
    assert!(f64::from(admitted) <= 200.0 + earned, "{admitted} in {:?}", start.elapsed());
    // A machine that is busy with other things may not even ask for as much as there is.
    let due = (200.0 + earned).min(f64::from(requests));
    assert!(f64::from(admitted) >= 0.7 * due, "{admitted} of {requests} in {:?}", start.elapsed());
    assert!(max <= 7, "{max} under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_used_is_given_back_and_tenants_at_rest_are_forgotten() {
    let server = Server::start();
    let links = server.links(2, OnBackendError::Refuse).await;
    let quotas = quotas(&links);
    let tenant = tenant(1_000, 1_000, 20);
    assert_eq!(admitted(&quotas, &tenant, 100).await, 100);
    // Nobody calls any more: the server counts no place.
    server::until(|| server.cli(&["hlen", "logkey:{acme}:places"]) == "0").await;
    server::until(|| server.cli(&["exists", "logkey:{acme}:rate"]) == "0").await;
    assert_eq!(quotas[0].state(&tenant).remaining, 1_000);
    let mut admissions = Vec::new();
    while let Ok(admission) = quotas[1].admit(&tenant, Cost::Read).await {
        admissions.push(admission);
    }
    assert_eq!(admissions.len(), 20, "one replica can have all places");
}

#[test]
fn refused_callers_are_told_later_and_later_and_new_limits_hold_at_once() {
    let (now, limits) = (Instant::now(), tenant(10, 10, 10).limits);
    let mut tokens = token_lease::TokenLease::new(now);
    let state = QuotaState { remaining: 0, reset: Duration::from_secs(1), in_flight: 0 };
    tokens.record_denial(now, Some(Duration::from_millis(100)), limits, state);
    let mut wait = |limits| match tokens.decide(now, 1, limits) {
        Some(Err(OverQuota::Rate { retry_after, .. })) => Some(retry_after.as_millis()),
        _ => None,
    };
    assert_eq!([(); 3].map(|()| wait(limits)), [Some(200), Some(300), Some(400)]);
    assert_eq!(wait(tenant(20, 10, 10).limits), None, "asked anew");
}
