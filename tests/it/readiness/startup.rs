//! The probes of a service whose store takes long to open.

use sqlx::migrate::Migrate as _;

use super::{probe, until};
use crate::{
    addresses::free_addresses,
    child::KillOnDrop,
    harness::{Plan, Postgres},
    process::serving,
};

#[tokio::test(flavor = "multi_thread")]
async fn probes_distinguish_a_long_start_from_a_hang() {
    let postgres = Postgres::start().await;
    let service = Plan::default().over(&postgres).start().await;
    // Replicas upgrade the schema one after the other, under this lock.
    let mut session = postgres.session("logkey").await;
    session.lock().await.unwrap();
    let [grpc, admin] = free_addresses().unwrap();
    let process = serving(&service.settings())
        .env("LOGKEY__SERVER__LISTEN", grpc.to_string())
        .env("LOGKEY__SERVER__ADMIN_LISTEN", admin.to_string())
        .spawn()
        .map(KillOnDrop)
        .unwrap();
    until("the liveness probe", async || probe(admin, "livez").await.0 == 200).await;
    for path in ["startupz", "readyz", "limits"] {
        let (code, text) = probe(admin, path).await;
        assert!(code == 503 && text.starts_with("starting: "), "{path}: {code} {text}");
    }
    assert!(probe(admin, "metrics").await.1.contains("logkey_ready 0"));
    session.unlock().await.unwrap();
    until("the start", async || probe(admin, "startupz").await.0 == 200).await;
    until("readiness", async || probe(admin, "readyz").await.0 == 200).await;
    assert!(probe(admin, "metrics").await.1.contains("logkey_ready 1"));
    drop(process);
    service.stop().await;
}
