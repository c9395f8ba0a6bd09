//! A service that nobody calls learns all the same that its server is gone, or comes back.

use std::time::Duration;

use super::{ready, until};
use crate::harness::{ALL, GROUP, PAYMENTS, Plan, Postgres, key, reason, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_at_rest_is_not_ready_while_its_server_is_gone_or_hangs() {
    let mut postgres = Postgres::start().await;
    let service = Plan::default().over(&postgres).start().await;
    assert_eq!(ready(service.admin).await, 200);
    postgres.crash();
    until("unreadiness without a call", async || ready(service.admin).await == 503).await;
    let output =
        reqwest::get(format!("http://{}/readyz", service.admin)).await.unwrap().text().await.unwrap();
    assert!(output.starts_with("store: "), "{output}");
    postgres.up().await;
    until("readiness without a call", async || ready(service.admin).await == 200).await;
    postgres.hang();
    until("unreadiness without a call", async || ready(service.admin).await == 503).await;
    postgres.go_on();
    until("readiness without a call", async || ready(service.admin).await == 200).await;
    // Where a connection broke meanwhile, a call is refused first.
    let caller = service.caller("payments", ALL);
    until("a change", async || caller.associate(GROUP, &key("good")).await.is_ok()).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_taken_over_although_that_cannot_be_recorded_yet() {
    let postgres = Postgres::start().await;
    let service = Plan::default().over(&postgres).start().await;
    let limits = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
    let open = tenant("payments", PAYMENTS, limits);
    let suspended = open.replace("id = \"payments\"", "id = \"payments\"\nsuspended = true");
    postgres.hang();
    // The record of the first stays in doubt while the server hangs.
    let both = async {
        service.reload(&open).await;
        service.reload(&suspended).await;
    };
    tokio::time::timeout(Duration::from_mins(1), both).await.unwrap();
    let refused = service.caller("payments", ALL).who_am_i().await.unwrap_err();
    assert_eq!(reason(&refused), "TENANT_SUSPENDED");
    postgres.go_on();
    until("readiness", async || ready(service.admin).await == 200).await;
    service.stop().await;
}
