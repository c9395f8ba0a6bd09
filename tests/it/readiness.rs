//! `/readyz`, `grpc.health.v1` and the metrics agree on whether calls can be served.

mod drain;
mod rolling;
mod startup;

use std::{net::SocketAddr, time::Duration};

use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest,
    health_check_response::ServingStatus::{self, NotServing, Serving},
    health_client::HealthClient,
};

use crate::harness::{ALL, GROUP, Plan, Postgres, key};

/// The names that a health check can ask for.
const HEALTH_SERVICES: [&str; 7] = [
    "",
    "keyassociation.v1.KeyAssociationService",
    "keyassociation.v1.TenantService",
    "keyassociation.v1.AuditService",
    "keyassociation.v1.BulkAssociationService",
    "keyassociation.v1.CoverageService",
    "keyassociation.v1.EncryptionRuleService",
];

/// The maximum number of polls of a condition, 20 ms apart.
const MAX_POLLS: u32 = 6_000;

/// Polls until `done` returns true.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..MAX_POLLS {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("timed out waiting for {what}");
}

/// The state of every service over gRPC.
async fn health(channel: Channel) -> Vec<ServingStatus> {
    let mut client = HealthClient::new(channel);
    let mut found = Vec::new();
    for service in HEALTH_SERVICES {
        let answer = client.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap();
        found.push(answer.into_inner().status());
    }
    found
}

/// A new connection.
pub(crate) async fn connect(address: SocketAddr) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await
}

/// The status of a probe, or 0 without a response, and its body.
pub(crate) async fn probe(admin: SocketAddr, path: &str) -> (u16, String) {
    match reqwest::get(format!("http://{admin}/{path}")).await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap()),
        Err(_refused) => (0, String::new()),
    }
}

#[tokio::test]
async fn without_any_usable_issuer_the_service_is_not_ready_and_not_serving() {
    let service = Plan::default().jwks(r#"{"keys":[]}"#).start().await;
    let (code, text) = probe(service.admin, "readyz").await;
    assert_eq!(code, 503);
    assert!(text.starts_with("issuers: no issuer has a key"), "{text}");
    assert_eq!(health(service.channel()).await, [NotServing; HEALTH_SERVICES.len()]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_follow_the_store() {
    let mut postgres = Postgres::start().await;
    let service = Plan::default().over(&postgres).start().await;
    let channel = service.channel();
    let all = async |state| health(channel.clone()).await == [state; HEALTH_SERVICES.len()];
    until("a serving service", async || all(Serving).await).await;
    postgres.crash();
    until("a service that does not serve", async || all(NotServing).await).await;
    let (code, text) = probe(service.admin, "readyz").await;
    assert!(code == 503 && text.starts_with("store: "), "{code} {text}");
    postgres.up().await;
    until("a serving service", async || all(Serving).await).await;
    // The first call can fail if its connection broke in the meantime.
    let caller = service.caller("payments", ALL);
    until("a change", async || caller.associate(GROUP, &key("good")).await.is_ok()).await;
    service.stop().await;
}
