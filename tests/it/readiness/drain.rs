//! What a service does between a stop signal and the end of `server.drain_delay`.

use tonic_health::pb::health_check_response::ServingStatus::NotServing;

use super::{HEALTH_SERVICES, connect, health, probe, until};
use crate::{
    addresses::free_addresses,
    child::KillOnDrop,
    harness::{ALL, Caller, Plan},
    process::{send_signal, serving},
};

/// A service in its own process, with this `drain_delay`.
async fn process(settings: &std::path::Path, delay: &str) -> (KillOnDrop, [std::net::SocketAddr; 2]) {
    let [grpc, admin] = free_addresses().unwrap();
    let folder = settings.parent().unwrap();
    let child = serving(settings)
        .env("LOGKEY__SERVER__LISTEN", grpc.to_string())
        .env("LOGKEY__SERVER__ADMIN_LISTEN", admin.to_string())
        .env("LOGKEY__SERVER__DRAIN_DELAY", delay)
        .env("LOGKEY__STORE__URL", format!("sqlite://{}/drain.db", folder.display()))
        .spawn()
        .map(KillOnDrop)
        .unwrap();
    until("readiness", async || probe(admin, "readyz").await.0 == 200).await;
    (child, [grpc, admin])
}

#[tokio::test]
async fn a_stopping_service_is_not_ready_and_still_answers_calls() {
    let service = Plan::default().start().await;
    // The test ends before the delay does.
    let (child, [grpc, admin]) = process(&service.settings(), "1h").await;
    let old_connection = connect(grpc).await.unwrap();
    send_signal(&child, "-TERM");
    until("unreadiness", async || probe(admin, "readyz").await.0 == 503).await;
    assert_eq!(probe(admin, "readyz").await.1, "draining: the service is stopping\n");
    assert!(probe(admin, "metrics").await.1.contains("logkey_ready 0"));
    for path in ["livez", "startupz"] {
        assert_eq!(probe(admin, path).await.0, 200, "{path}");
    }
    let token = service.issuer.token("payments", ALL);
    for channel in [old_connection, connect(grpc).await.unwrap()] {
        assert_eq!(health(channel.clone()).await, [NotServing; HEALTH_SERVICES.len()]);
        Caller::new(channel, &token).who_am_i().await.unwrap();
    }
    service.stop().await;
}

#[tokio::test]
async fn a_stopping_service_ends_after_the_drain_delay() {
    let service = Plan::default().start().await;
    let (mut child, [grpc, _admin]) = process(&service.settings(), "100ms").await;
    let connection = connect(grpc).await.unwrap();
    let token = service.issuer.token("payments", ALL);
    Caller::new(connection.clone(), &token).who_am_i().await.unwrap();
    send_signal(&child, "-TERM");
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    Caller::new(connection, &token).who_am_i().await.unwrap_err();
    service.stop().await;
}
