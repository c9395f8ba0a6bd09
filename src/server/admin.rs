//! The HTTP endpoints for operators: `/metrics`, `/livez`, `/startupz`, `/readyz` and `/limits`. They answer
//! before the store is open.

use std::{
    fmt,
    future::Future,
    io,
    sync::{Arc, OnceLock},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tower_http::limit::RequestBodyLimitLayer;

use super::readiness::Readiness;

/// The maximum length of a request's body. No endpoint reads one.
const MAX_BODY_BYTES: usize = 1_024;

/// Renders a text when somebody asks for it.
pub type Render = Box<dyn Fn() -> String + Send + Sync>;

/// The sources of what the admin port reports.
#[derive(Clone)]
pub struct Admin {
    /// Whether the service can serve calls.
    pub readiness: Arc<Readiness>,
    /// Renders the metrics in the Prometheus text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Renders the state of the limits as JSON. Empty until the service has started.
    pub limits: Arc<OnceLock<Render>>,
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
        .route("/startupz", get(started))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/limits", get(limits))
        .layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES))
        .with_state(admin);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// The start is done, including the migration of the store.
async fn started(State(admin): State<Admin>) -> (StatusCode, String) {
    if admin.readiness.has_started() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, admin.readiness.report().to_string())
    }
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    let report = admin.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, report.to_string())
}

async fn metrics(State(admin): State<Admin>) -> String {
    // So that the gauges agree with `/readyz` at this moment.
    admin.readiness.report();
    (admin.metrics)()
}

async fn limits(State(admin): State<Admin>) -> (StatusCode, String) {
    match admin.limits.get() {
        Some(render) => (StatusCode::OK, render()),
        None => (StatusCode::SERVICE_UNAVAILABLE, admin.readiness.report().to_string()),
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}
