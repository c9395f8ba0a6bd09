//! The admin port, which answers from before the store is open until the service has stopped.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::maintenance;
use crate::{
    ports::upgrade::UpgradeProgress,
    server::{
        admin::{self, Admin, Render},
        readiness::{Findings, Readiness},
    },
};

/// The running admin port, with the readiness that it reports.
pub struct AdminPort {
    readiness: Arc<Readiness>,
    limits: Arc<OnceLock<Render>>,
    stop: CancellationToken,
    served: JoinHandle<io::Result<()>>,
    upkeep: Vec<JoinHandle<()>>,
}

// === impl AdminPort ===

impl AdminPort {
    /// Answers probes on this listener at once. `metrics` renders `/metrics`.
    #[must_use]
    pub fn serve(listener: TcpListener, metrics: Option<PrometheusHandle>) -> Self {
        let (readiness, limits, stop) = (Readiness::starting(), Arc::default(), CancellationToken::new());
        let upkeep = vec![
            tokio::spawn(Arc::clone(&readiness).run()),
            tokio::spawn(maintenance::run_metrics_upkeep(metrics.clone())),
        ];
        let admin = Admin {
            readiness: Arc::clone(&readiness),
            metrics: Arc::new(move || metrics.as_ref().map(render).unwrap_or_default()),
            limits: Arc::clone(&limits),
        };
        let served = tokio::spawn(admin::run(listener, admin, stop.clone().cancelled_owned()));
        Self { readiness, limits, stop, served, upkeep }
    }

    /// Where the store says how far its upgrade is.
    #[must_use]
    pub fn upgrade(&self) -> UpgradeProgress {
        self.readiness.upgrade()
    }

    /// Whether the service can serve calls.
    pub(super) fn readiness(&self) -> Arc<Readiness> {
        Arc::clone(&self.readiness)
    }

    /// The start is done: from now on, these checks decide whether the service is ready, and `limits` renders
    /// `/limits`.
    pub(super) fn begin_serving(
        &self,
        checks: impl Fn() -> Findings + Send + Sync + 'static,
        limits: Render,
    ) {
        // The admin port belongs to one service, which starts once.
        drop(self.limits.set(limits));
        self.readiness.begin_serving(checks);
    }

    /// Stops answering.
    ///
    /// # Errors
    ///
    /// The I/O error that stopped the listener before.
    pub(super) async fn close(self) -> io::Result<()> {
        self.upkeep.iter().for_each(JoinHandle::abort);
        self.stop.cancel();
        self.served.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }
}

/// Renders the metrics, with those of the process as they are now.
fn render(metrics: &PrometheusHandle) -> String {
    metrics_process::Collector::default().collect();
    metrics.render()
}

impl fmt::Debug for AdminPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminPort").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}
