//! HTTP for whoever runs the service: `/metrics`, `/livez`, `/readyz`, `/limits`.

use std::{fmt, future::Future, io, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;

use crate::ports::{AuditLog, SnapshotSource};

/// What the admin port tells of.
#[derive(Clone)]
pub struct Admin {
    /// Whether tokens can be verified.
    pub rules: Arc<dyn SnapshotSource>,
    /// Whether the audit log can be written.
    pub audit: Arc<dyn AuditLog>,
    /// Why the store counts as gone although nothing was to be written, where it does.
    pub store: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// The metrics, in the text form of Prometheus.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Where limits stand, as JSON.
    pub limits: Arc<dyn Fn() -> String + Send + Sync>,
    /// How it stands with the server that replicas share their limits through, where there is one: whether
    /// calls are admitted, and in words.
    pub backend: Arc<dyn Fn() -> Option<(bool, String)> + Send + Sync>,
}

/// Serves on `listener` until `shutdown` resolves.
///
/// # Errors
///
/// Whatever made the listener stop before it was asked to.
pub async fn run(
    listener: TcpListener,
    admin: Admin,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async |State(admin): State<Admin>| (admin.metrics)()))
        .route("/limits", get(async |State(admin): State<Admin>| (admin.limits)()))
        .with_state(admin);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// Ready when calls can be answered: the store writes, every issuer's keys are known, and limits are
/// counted. How they are is told in any case where replicas share them.
async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    let store =
        admin.audit.not_ready_reason().or_else(|| (admin.store)()).map(|reason| format!("store: {reason}"));
    let issuers =
        admin.rules.current().authn().unready().into_iter().map(|reason| format!("issuer: {reason}"));
    let (serves, backend) = (admin.backend)().unzip();
    let backend = backend.map(|status| format!("limits: {status}\n"));
    let limits =
        backend.as_ref().filter(|_| serves == Some(false)).map(|status| status.trim_end().to_owned());
    let faults: Vec<String> = store.into_iter().chain(issuers).chain(limits).collect();
    if faults.is_empty() {
        (StatusCode::OK, "ok\n".to_owned() + &backend.unwrap_or_default())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, faults.join("\n") + "\n")
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}
