//! A flood of invalid tokens from one address.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::harness::{ALL, Caller, PAYMENTS, Plan, Service, reason, tenant};

/// The longest time that a test waits.
const TIMEOUT: Duration = Duration::from_mins(2);
const NO_LIMITS: &str = "{ per_second = 100000, burst = 100000, max_in_flight = 100 }";

/// Sends invalid tokens without pause, so that the address has always used up its failure budget.
struct Flood {
    stop: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Flood {
    /// Starts the flood and returns once the server has shed a first token without verifying it.
    async fn rationed(service: &Service) -> Self {
        let (stop, rationed) = (Arc::new(AtomicBool::new(false)), watch::channel(false).0);
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let bad = Caller::new(service.channel(), "no.good.token");
            let (stop, rationed) = (Arc::clone(&stop), rationed.clone());
            callers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let refused = bad.who_am_i().await.unwrap_err();
                    if reason(&refused) == "OVERLOADED" {
                        rationed.send_replace(true);
                    }
                }
            });
        }
        let mut shed = rationed.subscribe();
        timeout(TIMEOUT, shed.wait_for(|yes| *yes)).await.unwrap().unwrap();
        Self { stop, callers }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.callers.join_all().await;
    }
}

async fn service() -> Service {
    Plan::default().tenants(&tenant("payments", PAYMENTS, NO_LIMITS)).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_token_passes_during_a_flood_from_its_address() {
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
async fn a_new_token_gets_through_during_a_flood_from_its_address() {
    let service = service().await;
    let flood = Flood::rationed(&service).await;
    let mut refused = 0;
    for _ in 0..20 {
        let fresh = service.caller("payments", ALL);
        let until_accepted = async {
            while let Err(status) = fresh.who_am_i().await {
                assert_eq!(reason(&status), "OVERLOADED", "a good token is never called invalid");
                refused += 1;
            }
        };
        timeout(TIMEOUT, until_accepted).await.expect("the token never gets through");
        for _ in 0..5 {
            // The server now has the token in its cache.
            fresh.who_am_i().await.unwrap();
        }
    }
    flood.end().await;
    // The server verifies one token in eight: not all of the twenty pass at the first attempt, and each
    // passes within a few hundred.
    assert!((1..4_000).contains(&refused), "{refused}");
    service.stop().await;
}
