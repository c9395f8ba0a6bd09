//! The HTTP endpoints for operators: `/metrics`, `/livez`, `/readyz` and `/limits`.

use std::{fmt, future::Future, io, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;

use crate::ports::{AuditLog, SnapshotSource};

/// The sources of what the admin port reports.
#[derive(Clone)]
pub struct Admin {
    /// The source of the current snapshot, whose issuers `/readyz` checks.
    pub rules: Arc<dyn SnapshotSource>,
    /// The audit log, which `/readyz` checks.
    pub audit: Arc<dyn AuditLog>,
    /// Why the store is unavailable, even if there is nothing to write; `None` if it is available.
    pub store: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Renders the metrics in the Prometheus text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Renders the state of the limits as JSON.
    pub limits: Arc<dyn Fn() -> String + Send + Sync>,
    /// What is wrong with the service's own access to AWS; `None` if nothing is known to be wrong. It does not make
    /// the service unready: calls that need no new session still succeed.
    pub aws: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// The state of the Redis server that replicas share their limits through: whether calls are admitted,
    /// and a description. `None` without such a server.
    pub backend: Arc<dyn Fn() -> Option<(bool, String)> + Send + Sync>,
}

/// Serves on `listener` until `shutdown` resolves.
///
/// # Errors
///
/// The I/O error that stopped the listener.
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

/// Ready if the store is writable, the keys of the issuers are available, and the limits are counted. An issuer
/// that publishes no usable key does not matter while another one does. The response names every issuer whose
/// tokens cannot be verified, a problem with the service's own access to AWS and, if replicas share the limits,
/// their state.
async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    let store =
        admin.audit.not_ready_reason().or_else(|| (admin.store)()).map(|reason| format!("store: {reason}"));
    let issuers = admin.rules.current().authn().readiness();
    let lines = issuers.problems.into_iter().map(|reason| format!("issuer: {reason}\n"));
    let lines: String = lines.collect();
    let (serves, backend) = (admin.backend)().unzip();
    let backend = backend.map(|status| format!("limits: {status}\n"));
    let limits =
        backend.as_ref().filter(|_| serves == Some(false)).map(|status| status.trim_end().to_owned());
    let problems: String = store.into_iter().chain(limits).map(|problem| problem + "\n").collect();
    let aws = (admin.aws)().map(|problem| format!("aws: {problem}\n")).unwrap_or_default();
    if problems.is_empty() && issuers.serves {
        (StatusCode::OK, "ok\n".to_owned() + &lines + &backend.unwrap_or_default() + &aws)
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, problems + &lines + &aws)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}
