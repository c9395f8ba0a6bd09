mod leases;
mod secured;
mod server;
mod topologies;
mod unreachable;

use std::num::NonZeroU32;

use tokio::{task::JoinSet, time::sleep};

use self::server::{Server, links_with, until};
use super::*;
use crate::{
    domain::{
        association::Location,
        tenant::{Limits, Tenant},
    },
    limit::{AwsQuota, Costs, LocalQuota, LocalUpstreamLimiter, QueueBounds},
    ports::limit::{Cost, OverQuota, QuotaState, TenantQuota as _, UpstreamLimiter as _, UpstreamOutcome},
};

/// How long a decision waits where that is what is tested: longer than in service, since the machine
/// may be busy with other tests.
const LONG: Duration = Duration::from_secs(1);
/// And where it is not: an answer that comes late would make each replica go on alone.
const PATIENT: Duration = Duration::from_secs(15);

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
    }
}

fn quotas(links: &[Arc<RedisBackend>]) -> Vec<SharedQuota> {
    let quota = |link: &Arc<RedisBackend>| {
        let own = Arc::new(LocalQuota::new(Costs::default()));
        SharedQuota::new(Arc::clone(link), Costs::default(), own)
    };
    links.iter().map(quota).collect()
}

/// Asks each in turn, and says how often it was admitted.
async fn admitted(quotas: &[SharedQuota], tenant: &Tenant, calls: usize) -> usize {
    let mut admitted = 0;
    for quota in quotas.iter().cycle().take(calls) {
        admitted += usize::from(quota.admit(tenant, Cost::Read).await.is_ok());
    }
    admitted
}

/// What a tenant earns in a time, in whole calls; all replicas together.
fn earned(tenant: &Tenant, time: Duration) -> usize {
    let secs = usize::try_from(time.as_secs()).unwrap();
    secs * usize::try_from(tenant.limits.per_second.get()).unwrap()
}

/// Asks each in turn: they give one burst, with what is earned meanwhile, and no more.
async fn give_one_burst(quotas: &[SharedQuota], tenant: &Tenant, calls: usize) {
    let start = Instant::now();
    let given = admitted(quotas, tenant, calls).await;
    let burst = usize::try_from(tenant.limits.burst.get()).unwrap();
    let max = burst + 1 + earned(tenant, start.elapsed());
    assert!((burst..=max).contains(&given), "{given} in {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_give_one_burst_together_and_waiting_as_told_is_enough() {
    let server = Server::start();
    let quotas = quotas(&server.links(3, OnBackendError::Share).await);
    let tenant = tenant(1, 30, 1_000);
    give_one_burst(&quotas, &tenant, 100).await;
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
async fn places_are_counted_across_replicas_and_given_back() {
    let server = Server::start();
    let quotas = quotas(&server.links(3, OnBackendError::Share).await);
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
async fn a_server_that_is_gone_costs_a_few_milliseconds_and_leaves_each_replica_its_share() {
    let mut server = Server::start();
    let links = links_with(&server.url(), 3, OnBackendError::Share, LONG).await;
    let quotas = quotas(&links);
    let tenant = tenant(1, 30, 1_000);
    server.kill();
    let start = Instant::now();
    let given = admitted(&quotas, &tenant, 100).await;
    let state = links.first().unwrap().state();
    assert!(state.serves && state.status.contains("each of 3 replicas"), "{state:?}");
    let max = 33 + earned(&tenant, start.elapsed());
    assert!((30..=max).contains(&given), "{given} of three shares of ten");
    assert!(start.elapsed() < 10 * LONG, "{:?}", start.elapsed());
    // What was given meanwhile is told to the server when it is back: there is no second burst.
    server.start_again();
    for link in &links {
        until(|| link.is_up()).await;
    }
    let given = admitted(&quotas, &tenant, 100).await;
    assert!(given <= 3 + earned(&tenant, start.elapsed()), "{given} more when it was back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_not_waited_for() {
    let server = Server::start();
    let links = links_with(&server.url(), 1, OnBackendError::Refuse, LONG).await;
    let quotas = quotas(&links);
    let tenant = tenant(1_000, 1_000, 1_000);
    assert_eq!(admitted(&quotas, &tenant, 10).await, 10);
    server.signal("-STOP");
    let start = Instant::now();
    let given = admitted(&quotas, &tenant, 100).await;
    assert!(given <= 10, "configured to refuse, what was taken ahead for ten calls apart: {given}");
    assert!(start.elapsed() < 10 * LONG, "{:?}", start.elapsed());
    assert!(!links[0].state().serves);
    server.signal("-CONT");
    until(|| links.iter().all(|link| link.is_up())).await;
    assert_eq!(admitted(&quotas, &tenant, 10).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_keep_one_pace_and_each_has_its_turns() {
    let server = Server::start();
    let links = server.links(3, OnBackendError::Share).await;
    let upstream = AwsQuota { associate_per_second: Some(n(50)), ..AwsQuota::default() };
    let (mut calls, start) = (JoinSet::new(), Instant::now());
    // As many steps by this machine's clock alone, as busy as it is.
    let steps = tokio::spawn(async move {
        for _ in 0..90 {
            sleep(Duration::from_millis(20)).await;
        }
        start.elapsed()
    });
    for (replica, link) in links.iter().enumerate() {
        let limiter =
            Arc::new(LocalUpstreamLimiter::new(upstream, QueueBounds::default()).shared(Arc::clone(link)));
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
    let mut went = calls.join_all().await;
    went.sort_unstable();
    let last = went.last().unwrap().0;
    assert!(last >= Duration::from_millis(89 * 20), "90 turns at 50 a second took {last:?}");
    let steps = steps.await.unwrap();
    assert!(last <= steps.mul_f64(1.85), "{last:?}, where as many steps alone took {steps:?}");
    let early = |replica| went.iter().take(45).filter(|(_, other)| *other == replica).count();
    assert!((0..3).all(|replica| early(replica) >= 8), "{went:?}");
}
