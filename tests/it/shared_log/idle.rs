//! A service without calls also notices that its server is down or has recovered.

use std::time::Duration;

use super::{readiness, until};
use crate::harness::{ALL, GROUP, PAYMENTS, Plan, Postgres, key, reason, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_service_is_not_ready_while_its_server_is_down_or_hangs() {
    let mut postgres = Postgres::start().await;
    let service = Plan::default().over(&postgres).start().await;
    assert_eq!(readiness(service.admin).await, 200);
    postgres.crash();
    until("unreadiness without a call", async || readiness(service.admin).await == 503).await;
    let output =
        reqwest::get(format!("http://{}/readyz", service.admin)).await.unwrap().text().await.unwrap();
    assert!(output.starts_with("store: "), "{output}");
    postgres.up().await;
    until("readiness without a call", async || readiness(service.admin).await == 200).await;
    postgres.hang();
    until("unreadiness without a call", async || readiness(service.admin).await == 503).await;
    postgres.resume();
    until("readiness without a call", async || readiness(service.admin).await == 200).await;
    // The first call can fail if its connection broke in the meantime.
    let caller = service.caller("payments", ALL);
    until("a change", async || caller.associate(GROUP, &key("good")).await.is_ok()).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_reloaded_even_if_that_cannot_be_recorded_yet() {
    let postgres = Postgres::start().await;
    let service = Plan::default().over(&postgres).start().await;
    let limits = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
    let open = tenant("payments", PAYMENTS, limits);
    let suspended = open.replace("id = \"payments\"", "id = \"payments\"\nsuspended = true");
    postgres.hang();
    // It is unknown whether the first reload is recorded while the server hangs.
    let both = async {
        service.reload(&open).await;
        service.reload(&suspended).await;
    };
    tokio::time::timeout(Duration::from_mins(1), both).await.unwrap();
    let refused = service.caller("payments", ALL).who_am_i().await.unwrap_err();
    assert_eq!(reason(&refused), "TENANT_SUSPENDED");
    postgres.resume();
    until("readiness", async || readiness(service.admin).await == 200).await;
    service.stop().await;
}
