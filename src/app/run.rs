//! Runs the service, and shuts it down gracefully.

use std::{future::Future, io, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::oneshot;

use super::{
    error::RunError,
    limits,
    maintenance::{self, Reconciler},
    rules::RuleTasks,
    service::{App, Listeners},
};
use crate::{
    audit::PendingChangeReader,
    domain::audit::AuditOperation,
    server::{
        self, LayerPorts,
        admin::{self, Admin},
    },
    service::Engine,
};

/// How often the service forgets quotas of idle locations and updates gauges.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(15);

impl App {
    /// Serves until `shutdown` resolves, then waits for calls and changes in flight and closes the journal.
    ///
    /// # Errors
    ///
    /// [`RunError`].
    pub async fn run(
        self,
        listeners: Listeners,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), RunError> {
        let (end_admin, admin_ends) = oneshot::channel::<()>();
        let admin = tokio::spawn(admin::run(listeners.admin, self.admin(), async move {
            let _ = admin_ends.await;
        }));
        let reconciler = Reconciler {
            state: Arc::clone(&self.state),
            changes: Arc::new(PendingChangeReader::new(Arc::clone(&self.log))),
            leadership: Arc::clone(&self.leadership),
            clock: Arc::clone(&self.clock),
            started: self.started,
            request_timeout: self.settings.server.grpc.request_timeout,
        };
        let reconciler = tokio::spawn(reconciler.run());
        let history = tokio::spawn({
            let state = Arc::clone(&self.state);
            async move { state.run_observation_flusher().await }
        });
        let maintenance = tokio::spawn(maintenance::run_maintenance(
            Arc::clone(&self.local_quota),
            Arc::clone(&self.limiter),
            self.quota_discoverer.clone(),
            self.aws.clone(),
            MAINTENANCE_INTERVAL,
        ));
        let credentials = tokio::spawn(maintenance::run_credentials_check(self.aws.clone()));
        let coverage_gauges =
            tokio::spawn(maintenance::run_coverage_gauges(self.fleet.coverage_store(), MAINTENANCE_INTERVAL));
        let metrics_upkeep = tokio::spawn(maintenance::run_metrics_upkeep(self.metrics.clone()));
        let engine = Engine::new(
            Arc::clone(&self.state),
            self.fleet.clone(),
            self.settings.server.grpc.request_timeout,
        );
        let (end_engine, engine_ends) = oneshot::channel::<()>();
        let engine = tokio::spawn(engine.run(async move {
            let _ = engine_ends.await;
        }));
        let rules = RuleTasks::start(&self).await;
        let services = server::Services {
            ports: self.layer_ports(),
            state: Arc::clone(&self.state),
            audit: self.reads.clone(),
            fleet: self.fleet.clone(),
            coverage: self.coverage.clone(),
            tls: self.tls.clone(),
        };
        let config = self.settings.server.grpc.clone();
        let drain = config.drain_timeout;
        let result = server::run(listeners.grpc, config, services, shutdown).await;

        rules.stop().await;
        // The engine ends first: its items in flight are changes that the store records.
        drop(end_engine);
        if tokio::time::timeout(drain, engine).await.is_err() {
            tracing::warn!(
                "bulk jobs were still in progress when the service stopped; they continue at the next start"
            );
        }
        self.tasks.close();
        if tokio::time::timeout(drain, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                changes = self.tasks.len(),
                "changes were still in flight when the service stopped"
            );
        }
        history.abort();
        if let Err(error) = self.state.flush_observations().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the last key observations could not be stored");
        }
        let stop = maintenance::record(&*self.journal, &*self.clock, AuditOperation::Stop, None, None);
        if let Err(error) = stop.await {
            tracing::error!(error = &error as &dyn std::error::Error, "the stop could not be recorded");
        }
        self.journal.close().await;
        self.sequencer.close().await;
        self.sinks.close().await;
        maintenance.abort();
        credentials.abort();
        metrics_upkeep.abort();
        coverage_gauges.abort();
        reconciler.abort();
        let _ = end_admin.send(());
        let admin = admin.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        result.map_err(RunError::Grpc).and(admin.map_err(RunError::Admin))
    }

    fn layer_ports(&self) -> LayerPorts {
        LayerPorts {
            rules: self.current.clone(),
            quota: Arc::clone(&self.quota),
            audit: self.journal.clone(),
            clock: Arc::clone(&self.clock),
        }
    }

    fn admin(&self) -> Admin {
        let metrics = self.metrics.clone();
        let (local_quota, limiter) = (Arc::clone(&self.local_quota), Arc::clone(&self.limiter));
        let (backend, shown_backend) = (self.backend.clone(), self.backend.clone());
        let (monitored, aws) = (Arc::clone(&self.monitored), self.aws.clone());
        Admin {
            rules: self.current.clone(),
            audit: self.journal.clone(),
            store: Arc::new(move || monitored.unready()),
            limits: Arc::new(move || limits::to_json(&local_quota, &limiter, shown_backend.as_deref())),
            aws: Arc::new(move || aws.as_ref().and_then(|aws| aws.problem())),
            backend: Arc::new(move || limits::backend(backend.as_deref())),
            metrics: Arc::new(move || metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default()),
        }
    }
}
