//! Runs the service, and shuts it down gracefully.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{
    archive::ArchiveTask,
    error::RunError,
    gauges::Gauges,
    limits,
    maintenance::{self, Reconciler},
    rules::RuleTasks,
    service::{App, Listeners},
    telemetry::CurrentLabels,
};
use crate::{
    audit::PendingChangeReader,
    domain::audit::AuditOperation,
    ports::{AuditLog as _, Authenticate as _},
    server::{
        self, LayerPorts,
        admin::Render,
        readiness::{Component, Findings, Impairment},
    },
    service::Engine,
};

/// How often the service forgets quotas of idle locations and updates gauges.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(15);
/// How long the stop waits until the store is closed.
const STORE_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

impl App {
    /// Serves until `shutdown` resolves and `drain_delay` has passed, then waits for calls and changes in flight and closes the journal.
    ///
    /// # Errors
    ///
    /// [`RunError`].
    pub async fn run(
        self,
        listeners: Listeners,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), RunError> {
        let Listeners { grpc, admin } = listeners;
        let reconciler = Reconciler {
            state: Arc::clone(&self.state),
            changes: Arc::new(PendingChangeReader::new(Arc::clone(&self.log))),
            leadership: Arc::clone(&self.leadership),
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
        let gauges = Gauges {
            log: Arc::clone(&self.log),
            changes: PendingChangeReader::new(Arc::clone(&self.log)),
            tree: self.sequencer.prover(),
            space: Arc::clone(&self.space),
            leadership: Arc::clone(&self.leadership),
            current: Arc::clone(&self.current),
            tls: self.tls.clone(),
            backend: self.backend.clone(),
            clock: Arc::clone(&self.clock),
        };
        let gauges = tokio::spawn(gauges.run());
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
        let archiving = ArchiveTask::start(&self).await;
        let services = server::Services {
            ports: self.layer_ports(),
            state: Arc::clone(&self.state),
            audit: self.reads.clone(),
            fleet: self.fleet.clone(),
            coverage: self.coverage.clone(),
            tls: self.tls.clone(),
            tenant_label: self.settings.telemetry.tenant_label,
            readiness: admin.readiness(),
        };
        let config = self.settings.server.grpc.clone();
        let drain = config.drain_timeout;
        admin.begin_serving(self.readiness_checks(), self.limits_json(), self.current_labels());
        let result = server::run(grpc, config, services, shutdown).await;

        rules.stop().await;
        archiving.stop().await;
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
        coverage_gauges.abort();
        gauges.abort();
        reconciler.abort();
        if tokio::time::timeout(STORE_CLOSE_TIMEOUT, self.closing.close()).await.is_err() {
            tracing::warn!("the store does not respond and was not closed");
        }
        let admin = admin.close().await;
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

    /// Finds what is impaired in this service.
    fn readiness_checks(&self) -> impl Fn() -> Findings + Send + Sync + 'static {
        let (journal, monitored) = (Arc::clone(&self.journal), Arc::clone(&self.monitored));
        let (current, aws, backend) = (Arc::clone(&self.current), self.aws.clone(), self.backend.clone());
        move || {
            let impaired = |component| move |problem| Impairment { component, problem };
            let store = journal.not_ready_reason().or_else(|| monitored.unready());
            let issuers = current.load().authn.readiness();
            let none_usable =
                (!issuers.serves).then(|| "no issuer has a key that tokens can be verified with".to_owned());
            let (limits, note) = limits::problem_or_note(backend.as_deref());
            let impairments = (store.map(impaired(Component::Store)).into_iter())
                .chain(none_usable.map(impaired(Component::Issuers)))
                .chain(issuers.problems.into_iter().map(impaired(Component::Issuer)))
                .chain(limits.map(impaired(Component::Limits)))
                .chain(aws.as_ref().and_then(|aws| aws.problem()).map(impaired(Component::Aws)));
            Findings { impairments: impairments.collect(), notes: note.into_iter().collect() }
        }
    }

    /// The issuers and accounts of the current settings. Series of others are not rendered.
    fn current_labels(&self) -> impl Fn() -> Vec<CurrentLabels> + Send + Sync + 'static {
        let current = Arc::clone(&self.current);
        move || {
            let snapshot = current.load();
            let issuers = snapshot.authn.issuer_names().map(str::to_owned).collect();
            let tenants = snapshot.tenants.0.iter();
            let accounts =
                tenants.flat_map(|tenant| &tenant.accounts).map(|grant| grant.account.to_string()).collect();
            vec![
                CurrentLabels { label: "issuer", values: issuers },
                CurrentLabels { label: "account", values: accounts },
            ]
        }
    }

    /// Renders the state of the limits.
    fn limits_json(&self) -> Render {
        let (local_quota, limiter) = (Arc::clone(&self.local_quota), Arc::clone(&self.limiter));
        let backend = self.backend.clone();
        Box::new(move || limits::to_json(&local_quota, &limiter, backend.as_deref()))
    }
}
