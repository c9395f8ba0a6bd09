//! The admin port, which answers from before the store is open until the service has stopped.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    maintenance,
    telemetry::{CurrentLabels, Recorder},
};
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
    metrics: Option<Recorder>,
    limits: Arc<OnceLock<Render>>,
    stop: CancellationToken,
    served: JoinHandle<io::Result<()>>,
    upkeep: Vec<JoinHandle<()>>,
}

// === impl AdminPort ===

impl AdminPort {
    /// Answers probes on this listener at once. `metrics` renders `/metrics`.
    #[must_use]
    pub fn serve(listener: TcpListener, metrics: Option<Recorder>) -> Self {
        let (readiness, limits, stop) = (Readiness::starting(), Arc::default(), CancellationToken::new());
        let upkeep = vec![
            tokio::spawn(Arc::clone(&readiness).run()),
            tokio::spawn(maintenance::run_metrics_upkeep(metrics.clone())),
        ];
        let admin = Admin {
            readiness: Arc::clone(&readiness),
            metrics: {
                let metrics = metrics.clone();
                Arc::new(move || metrics.as_ref().map(Recorder::render).unwrap_or_default())
            },
            limits: Arc::clone(&limits),
        };
        let served = tokio::spawn(admin::run(listener, admin, stop.clone().cancelled_owned()));
        Self { readiness, metrics, limits, stop, served, upkeep }
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

    /// The start is done: from now on, these checks decide whether the service is ready, `limits` renders
    /// `/limits`, and `/metrics` has only the series of `labels`.
    pub(super) fn begin_serving(
        &self,
        checks: impl Fn() -> Findings + Send + Sync + 'static,
        limits: Render,
        labels: impl Fn() -> Vec<CurrentLabels> + Send + Sync + 'static,
    ) {
        if let Some(metrics) = &self.metrics {
            metrics.limit_labels(labels);
        }
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

impl fmt::Debug for AdminPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminPort").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}
