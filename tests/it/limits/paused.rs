//! A Redis that hangs for a while and resumes: calls are still decided meanwhile, and no burst follows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::replicas::{PER_SECOND, Redis, end, measure_stall, three, until_readiness_contains};
use crate::harness::{ALL, GROUP, Service, key, reason};

const UP: &str = "shared by 3 replicas, redis is up";
const DOWN: &str = "redis is down: each of 3 replicas uses its share";

async fn until_all_report(services: &[Service; 3], text: &str) {
    for service in services {
        assert_eq!(until_readiness_contains(service, text).await, 200);
    }
}

/// Calls every replica without pause, ten at a time. Every call must succeed.
struct Load {
    stop: Arc<AtomicBool>,
    finished: Arc<AtomicUsize>,
    callers: JoinSet<()>,
}

impl Load {
    fn begin(services: &[Service; 3]) -> Self {
        let (stop, finished) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut callers = JoinSet::new();
        for service in services {
            for _ in 0..10 {
                let caller = service.caller("payments", ALL);
                let (stop, finished) = (Arc::clone(&stop), Arc::clone(&finished));
                callers.spawn(async move {
                    while !stop.load(SeqCst) {
                        caller.associate(GROUP, &key("good")).await.unwrap();
                        finished.fetch_add(1, SeqCst);
                    }
                });
            }
        }
        Self { stop, finished, callers }
    }

    /// Waits until this number of further calls has succeeded.
    async fn wait_for_calls(&self, calls: usize) {
        let (enough, start) = (self.finished.load(SeqCst) + calls, Instant::now());
        while self.finished.load(SeqCst) < enough {
            assert!(start.elapsed() < Duration::from_mins(1), "calls are not decided");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) {
        self.stop.store(true, SeqCst);
        self.callers.join_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_keep_the_aws_quota_before_during_and_after_a_redis_hang() {
    let redis = Redis::start();
    let services = three(&redis, "share", "{ per_second = 1000, burst = 1000, max_in_flight = 100 }").await;
    for service in &services {
        // Fetch the credentials before the measurement starts.
        service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    }
    let stall = Arc::new(AtomicU64::new(0));
    let watch = tokio::spawn(measure_stall(Arc::clone(&stall)));
    let load = Load::begin(&services);
    load.wait_for_calls(40).await;
    redis.signal("-STOP");
    until_all_report(&services, DOWN).await;
    load.wait_for_calls(40).await;
    redis.signal("-CONT");
    until_all_report(&services, UP).await;
    load.wait_for_calls(60).await;
    load.end().await;
    watch.abort();

    let stall = Duration::from_millis(stall.load(SeqCst));
    let times: Vec<_> = services[0].reached("AssociateKmsKey").iter().map(|entry| entry.time).collect();
    // The calls of one second, the burst of AWS, and three more for each replica: its own burst of one, one
    // early call and one call in flight.
    let max = usize::try_from(PER_SECOND).unwrap() + 5 + 9;
    for window in times.windows(max + 1) {
        let separate = window[max].duration_since(window[0]).unsigned_abs();
        assert!(separate + stall >= Duration::from_millis(950), "{max} calls within {separate:?}, {stall:?}");
    }
    end(services).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_one_budget_before_during_and_after_a_redis_hang() {
    let redis = Redis::start();
    let services = three(&redis, "share", "{ per_second = 1, burst = 30, max_in_flight = 100 }").await;
    let callers: Vec<_> = services.iter().map(|service| service.caller("payments", ALL)).collect();
    let start = Instant::now();
    let accepted = AtomicU64::new(0);
    let spend = async || {
        for nth in 0..60 {
            match callers[nth % 3].who_am_i().await {
                Ok(_) => drop(accepted.fetch_add(1, SeqCst)),
                Err(status) => assert_eq!(reason(&status), "TENANT_RATE_LIMITED"),
            }
        }
        accepted.load(SeqCst)
    };
    let before = spend().await;
    // If a busy machine is late with a decision, the replica decides alone, within its share.
    assert!((30..=40).contains(&before), "{before} of a burst of 30");
    redis.signal("-STOP");
    spend().await;
    until_all_report(&services, DOWN).await;
    let during = spend().await;
    redis.signal("-CONT");
    until_all_report(&services, UP).await;
    let after = spend().await;
    // The refill is one a second and replica while Redis hangs, and there is no second burst.
    let max = 40 + 3 * start.elapsed().as_secs();
    assert!(after <= max, "{before}, {during} and {after} in {:?}", start.elapsed());
    end(services).await;
}
