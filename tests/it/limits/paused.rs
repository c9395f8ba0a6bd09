//! A Redis that hangs for a while and goes on: calls are decided meanwhile, and there is no burst behind it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::replicas::{PER_SECOND, Redis, end, three, until_ready_says, watched};
use crate::harness::{ALL, GROUP, Service, key, reason};

const UP: &str = "shared by 3 replicas, redis is up";
const AWAY: &str = "redis is away: each of 3 replicas goes on with its share";

async fn all_say(services: &[Service; 3], text: &str) {
    for service in services {
        assert_eq!(until_ready_says(service, text).await, 200);
    }
}

/// Calls of each replica without pause, ten at a time, each of which has to succeed.
struct Load {
    over: Arc<AtomicBool>,
    finished: Arc<AtomicUsize>,
    callers: JoinSet<()>,
}

impl Load {
    fn begin(services: &[Service; 3]) -> Self {
        let (over, finished) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut callers = JoinSet::new();
        for service in services {
            for _ in 0..10 {
                let caller = service.caller("payments", ALL);
                let (over, finished) = (Arc::clone(&over), Arc::clone(&finished));
                callers.spawn(async move {
                    while !over.load(SeqCst) {
                        caller.associate(GROUP, &key("good")).await.unwrap();
                        finished.fetch_add(1, SeqCst);
                    }
                });
            }
        }
        Self { over, finished, callers }
    }

    /// Until so many more calls were answered.
    async fn go_on_for(&self, calls: usize) {
        let (enough, start) = (self.finished.load(SeqCst) + calls, Instant::now());
        while self.finished.load(SeqCst) < enough {
            assert!(start.elapsed() < Duration::from_mins(1), "calls are not decided");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) {
        self.over.store(true, SeqCst);
        self.callers.join_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_keep_awss_quota_before_while_and_after_redis_hangs() {
    let redis = Redis::start();
    let services = three(&redis, "share", "{ per_second = 1000, burst = 1000, max_in_flight = 100 }").await;
    for service in &services {
        // Credentials are there before the time is taken.
        service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    }
    let stall = Arc::new(AtomicU64::new(0));
    let watch = tokio::spawn(watched(Arc::clone(&stall)));
    let load = Load::begin(&services);
    load.go_on_for(40).await;
    redis.signal("-STOP");
    all_say(&services, AWAY).await;
    load.go_on_for(40).await;
    redis.signal("-CONT");
    all_say(&services, UP).await;
    load.go_on_for(60).await;
    load.end().await;
    watch.abort();

    let stall = Duration::from_millis(stall.load(SeqCst));
    let times: Vec<_> = services[0].reached("AssociateKmsKey").iter().map(|entry| entry.time).collect();
    // A second's worth, AWS's burst, and for each replica one of its own, one early, and one on its way.
    let max = usize::try_from(PER_SECOND).unwrap() + 5 + 9;
    for window in times.windows(max + 1) {
        let separate = window[max].duration_since(window[0]).unsigned_abs();
        assert!(separate + stall >= Duration::from_millis(950), "{max} calls within {separate:?}, {stall:?}");
    }
    end(services).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_one_budget_before_while_and_after_redis_hangs() {
    let redis = Redis::start();
    let services = three(&redis, "share", "{ per_second = 1, burst = 30, max_in_flight = 100 }").await;
    let callers: Vec<_> = services.iter().map(|service| service.caller("payments", ALL)).collect();
    let start = Instant::now();
    let given = AtomicU64::new(0);
    let spend = async || {
        for nth in 0..60 {
            match callers[nth % 3].who_am_i().await {
                Ok(_) => drop(given.fetch_add(1, SeqCst)),
                Err(status) => assert_eq!(reason(&status), "TENANT_RATE_LIMITED"),
            }
        }
        given.load(SeqCst)
    };
    let before = spend().await;
    // A decision that a busy machine makes late is one that a replica makes alone, of its share.
    assert!((30..=40).contains(&before), "{before} of a burst of 30");
    redis.signal("-STOP");
    spend().await;
    all_say(&services, AWAY).await;
    let meanwhile = spend().await;
    redis.signal("-CONT");
    all_say(&services, UP).await;
    let after = spend().await;
    // What is earned, which is one a second and replica while it hangs, and no burst beside the first.
    let max = 40 + 3 * start.elapsed().as_secs();
    assert!(after <= max, "{before}, {meanwhile} and {after} in {:?}", start.elapsed());
    end(services).await;
}
