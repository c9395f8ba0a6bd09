//! Tokens that fail, many of them, from one address.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::harness::{ALL, Caller, PAYMENTS, Plan, reason, tenant};

/// Ends a test that would never end.
const PATIENCE: Duration = Duration::from_mins(2);
const NO_LIMITS: &str = "{ per_second = 100000, burst = 100000, max_in_flight = 100 }";

/// The flood goes on while the good caller calls, so that what the address may fail is always used up.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_token_is_heard_beside_a_flood_of_bad_ones_from_its_address() {
    let service = Plan::default().tenants(&tenant("payments", PAYMENTS, NO_LIMITS)).start().await;
    let good = service.caller("payments", ALL);
    good.who_am_i().await.unwrap();

    let (over, rationed) = (Arc::new(AtomicBool::new(false)), watch::channel(false).0);
    let mut flood = JoinSet::new();
    for _ in 0..8 {
        let bad = Caller::new(service.channel(), "no.good.token");
        let (over, rationed) = (Arc::clone(&over), rationed.clone());
        flood.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let refused = bad.who_am_i().await.unwrap_err();
                if reason(&refused) == "OVERLOADED" {
                    rationed.send_replace(true);
                }
            }
        });
    }
    let mut told = rationed.subscribe();
    timeout(PATIENCE, told.wait_for(|yes| *yes)).await.unwrap().unwrap();
    for _ in 0..50 {
        good.who_am_i().await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    flood.join_all().await;
    service.stop().await;
}
