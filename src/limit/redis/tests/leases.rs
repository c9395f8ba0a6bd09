//! Leases in advance: they need few round trips, and stay within their documented bounds.

use super::{server::Server, *};

/// Calls without pause for some time, with `tasks` tasks per replica. Returns the number of calls, the
/// admitted ones, and the maximum in flight.
async fn call_continuously(
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
async fn a_busy_replica_leases_many_calls_per_request() {
    let server = Server::start();
    let backends = server.backends(3, OnBackendError::Share).await;
    let quotas = quotas(&backends);
    let (tenant, start) = (tenant(100_000, 100_000, 1_000), Instant::now());
    assert_eq!(admitted(&quotas, &tenant, 6_000).await, 6_000);
    let requests: u64 = backends.iter().map(|backend| backend.requests_sent()).sum();
    // A lease lasts for LEASE_TTL, so slower calls need more requests per call.
    let lease_periods = start.elapsed().as_millis().div_ceil(token_lease::LEASE_TTL.as_millis());
    let max = 1_500 + 3 * u64::try_from(lease_periods).unwrap();
    assert!(requests <= max, "{requests} round trips for 6,000 calls in {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_exceed_no_limit_by_more_than_documented() {
    let server = Server::start();
    let backends = server.backends(3, OnBackendError::Refuse).await;
    let tenant = tenant(500, 200, 7);
    let start = Instant::now();
    let (requests, admitted, max) =
        call_continuously(quotas(&backends), &tenant, 4, Duration::from_secs(2)).await;
    let earned = (start.elapsed() + token_lease::LEASE_TTL).as_secs_f64() * 500.0;
    assert!(f64::from(admitted) <= 200.0 + earned, "{admitted} in {:?}", start.elapsed());
    // On a busy machine the callers may not request all that is available.
    let due = (200.0 + earned).min(f64::from(requests));
    assert!(f64::from(admitted) >= 0.7 * due, "{admitted} of {requests} in {:?}", start.elapsed());
    assert!(max <= 7, "{max} in flight");
}

#[tokio::test(flavor = "multi_thread")]
async fn unused_leases_are_returned_and_idle_tenants_removed() {
    let server = Server::start();
    let backends = server.backends(2, OnBackendError::Refuse).await;
    let quotas = quotas(&backends);
    let tenant = tenant(1_000, 1_000, 20);
    assert_eq!(admitted(&quotas, &tenant, 100).await, 100);
    // There are no more calls, so the server counts no in-flight slot.
    server::until(|| server.cli(&["hlen", "logkey:{acme}:places"]) == "0").await;
    server::until(|| server.cli(&["exists", "logkey:{acme}:rate"]) == "0").await;
    assert_eq!(quotas[0].state(&tenant).remaining, 1_000);
    let mut admissions = Vec::new();
    while let Ok(admission) = quotas[1].admit(&tenant, Cost::Read).await {
        admissions.push(admission);
    }
    assert_eq!(admissions.len(), 20, "one replica can use all slots");
}

#[test]
fn rejected_callers_get_later_retries_and_new_limits_apply() {
    let (now, limits) = (Instant::now(), tenant(10, 10, 10).limits);
    let mut tokens = token_lease::TokenLease::new(now);
    let state = QuotaState { remaining: 0, reset: Duration::from_secs(1), in_flight: 0 };
    tokens.record_denial(now, Some(Duration::from_millis(100)), limits, state);
    let mut wait = |limits| match tokens.decide(now, 1, limits) {
        Some(Err(OverQuota::Rate { retry_after, .. })) => Some(retry_after.as_millis()),
        _ => None,
    };
    assert_eq!([(); 3].map(|()| wait(limits)), [Some(200), Some(300), Some(400)]);
    assert_eq!(wait(tenant(20, 10, 10).limits), None, "a new request is needed");
}
