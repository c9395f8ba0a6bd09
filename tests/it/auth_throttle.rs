//! Tokens that fail, many of them, from one address.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::harness::{ALL, Caller, PAYMENTS, Plan, Service, reason, tenant};

/// Ends a test that would never end.
const TIMEOUT: Duration = Duration::from_mins(2);
const NO_LIMITS: &str = "{ per_second = 100000, burst = 100000, max_in_flight = 100 }";

/// Bad tokens without pause, so that what the address may fail is always used up.
struct Flood {
    over: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Flood {
    /// Begins, and goes on behind a first token that was not verified any more.
    async fn rationed(service: &Service) -> Self {
        let (over, rationed) = (Arc::new(AtomicBool::new(false)), watch::channel(false).0);
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let bad = Caller::new(service.channel(), "no.good.token");
            let (over, rationed) = (Arc::clone(&over), rationed.clone());
            callers.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let refused = bad.who_am_i().await.unwrap_err();
                    if reason(&refused) == "OVERLOADED" {
                        rationed.send_replace(true);
                    }
                }
            });
        }
        let mut output = rationed.subscribe();
        timeout(TIMEOUT, output.wait_for(|yes| *yes)).await.unwrap().unwrap();
        Self { over, callers }
    }

    async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.callers.join_all().await;
    }
}

async fn service() -> Service {
    Plan::default().tenants(&tenant("payments", PAYMENTS, NO_LIMITS)).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_token_is_heard_beside_a_flood_of_bad_ones_from_its_address() {
    let service = service().await;
    let good = service.caller("payments", ALL);
    good.who_am_i().await.unwrap();
    let flood = Flood::rationed(&service).await;
    for _ in 0..50 {
        good.who_am_i().await.unwrap();
    }
    flood.end().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_that_was_never_seen_gets_through_beside_a_flood_from_its_address() {
    let service = service().await;
    let flood = Flood::rationed(&service).await;
    let mut refused = 0;
    for _ in 0..20 {
        let fresh = service.caller("payments", ALL);
        let monitored = async {
            while let Err(status) = fresh.who_am_i().await {
                assert_eq!(reason(&status), "OVERLOADED", "it is never called bad");
                refused += 1;
            }
        };
        timeout(TIMEOUT, monitored).await.expect("it never gets through");
        for _ in 0..5 {
            // From then on it is known.
            fresh.who_am_i().await.unwrap();
        }
    }
    flood.end().await;
    // One in eight is let through: of twenty, not all at their first try, and none after hundreds.
    assert!((1..4_000).contains(&refused), "{refused}");
    service.stop().await;
}
