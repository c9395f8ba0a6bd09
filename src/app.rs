//! Composition: builds every adapter, connects the adapters to the ports, runs the service and shuts it down
//! gracefully. `logkey serve` and the demo call it.

mod background;
mod build_snapshot;
mod clock;
mod limits;
mod maintenance;
pub mod reload;
mod sinks;
mod snapshot;
pub mod telemetry;
mod upstream;
pub mod watch;

use std::{fmt, future::Future, io, mem, path::Path, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use thiserror::Error;
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::task::TaskTracker;

use self::{build_snapshot::BuildError, limits::LimitComponents, snapshot::SnapshotHolder};
pub use self::{clock::SystemClock, reload::Reloader, sinks::SinksError, upstream::AwsPorts};
use crate::{
    audit::{
        Journal, MonitoredTreeStore, PendingChangeReader, Sequencer, Sinks,
        checkpoint::{self, KeyError, SigningKey},
        rotation,
        sequencer::Corruption,
        sinks::EventSource,
    },
    aws::Aws,
    config::{Diagnostic, Settings},
    domain::{audit::AuditOperation, time::Timestamp},
    limit::{
        LocalQuota, LocalUpstreamLimiter, QuotaDiscoverer,
        redis::{InvalidRedisUrl, RedisBackend},
    },
    ports::{
        AuditUnavailable, Clock, EventReader, Leadership, TenantQuota,
        quotas::{QuotaDiscovery, QuotaDiscoveryDisabled},
    },
    server::{
        self, LayerPorts, ServeError, Tls, TlsError,
        admin::{self, Admin},
    },
    service::{self, AuditPorts, AuditQueries, ServiceState},
    store::{self, OpenError},
};

/// How often the service forgets quotas of idle locations and updates gauges.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(15);

/// The service, ready to run.
pub struct App {
    settings: Settings,
    started: Timestamp,
    clock: Arc<dyn Clock>,
    journal: Arc<Journal>,
    log: Arc<dyn EventReader>,
    monitored: Arc<MonitoredTreeStore>,
    leadership: Arc<dyn Leadership>,
    sequencer: Sequencer,
    sinks: Sinks,
    current: Arc<SnapshotHolder>,
    aws: Option<Arc<Aws>>,
    quota: Arc<dyn TenantQuota>,
    local_quota: Arc<LocalQuota>,
    limiter: Arc<LocalUpstreamLimiter>,
    quota_discoverer: Option<QuotaDiscoverer>,
    backend: Option<Arc<RedisBackend>>,
    state: Arc<ServiceState>,
    reads: AuditQueries,
    tasks: TaskTracker,
    tls: Option<Arc<Tls>>,
    metrics: Option<PrometheusHandle>,
}

/// The sockets that the service accepts connections from.
#[derive(Debug)]
pub struct Listeners {
    /// For gRPC.
    pub grpc: TcpListener,
    /// For HTTP: metrics, probes and limits.
    pub admin: TcpListener,
}

/// Why the service did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[source] OpenError),
    /// A certificate or its key is invalid.
    #[error("[server.tls] cannot be used")]
    Tls(#[source] TlsError),
    /// Problems of the settings that appear only when the service uses them.
    #[error("the settings cannot be used:\n{}", join_lines(.0))]
    Settings(Vec<String>),
    /// The key that signs the audit log's checkpoints cannot be used.
    #[error("the audit log's checkpoints cannot be signed")]
    Key(#[source] KeyError),
    /// The URL of the server that shares limits between replicas is invalid.
    #[error("limits.backend cannot be used")]
    Limits(#[source] InvalidRedisUrl),
    /// A sink of the audit log cannot be started.
    #[error("the sinks of the audit log cannot be used")]
    Sinks(#[source] SinksError),
    /// The audit log does not match its signed checkpoint.
    #[error("the audit log cannot be continued")]
    Log(#[source] Corruption),
    /// The first event could not be written.
    #[error("the audit log cannot be written")]
    Audit(#[source] AuditUnavailable),
    /// The settings use something that this release does not contain.
    #[error("{0} is not available in this release")]
    Missing(&'static str),
}

/// Why the service ended before its shutdown signal, or not gracefully.
#[derive(Debug, Error)]
pub enum RunError {
    /// The gRPC server failed.
    #[error(transparent)]
    Grpc(ServeError),
    /// The HTTP server of the admin port failed.
    #[error("the admin port failed")]
    Admin(#[source] io::Error),
}

impl App {
    /// Opens the store, starts to fetch the issuers' keys, and records the start. It fails without the store.
    /// `upstream` replaces AWS, and `metrics` renders the metrics of the admin port.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn start(
        mut settings: Settings,
        upstream: Option<AwsPorts>,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let tls = settings.server.tls.clone().map(Tls::load).transpose().map_err(StartError::Tls)?;
        // Only the snapshot holds what a reload replaces.
        let tenants = Arc::new(mem::take(&mut settings.tenants));
        let policy = mem::take(&mut settings.policy);
        let auth = settings.auth.clone();
        let first =
            build_snapshot::build(auth, tenants, &policy, Arc::clone(&clock)).map_err(StartError::from)?;
        let current = Arc::new(SnapshotHolder::new(first));
        let store = store::open(&settings.store.config).await.map_err(StartError::Store)?;
        let key = signing_key(&settings, true).map_err(StartError::Key)?;
        let (log, monitored) = (Arc::clone(&store.log), Arc::new(MonitoredTreeStore::new(store.tree)));
        let checked = Sequencer::check(log, monitored.clone(), Arc::clone(&clock), key).await;
        let checked = checked.map_err(StartError::Log)?;
        let journal = Journal::start(store.events, Arc::clone(&clock), settings.audit.journal.clone());
        let journal = Arc::new(journal);
        let (leadership, log) = (store.leadership, Arc::clone(&store.log));
        let source = EventSource {
            log,
            store: store.sinks,
            leadership: Arc::clone(&leadership),
            clock: Arc::clone(&clock),
        };
        let sinks = Box::pin(sinks::start(&settings, source)).await.map_err(StartError::Sinks)?;

        let (aws, upstream) = if let Some(upstream) = upstream {
            (None, upstream)
        } else {
            // Boxed, because the future of the SDK's start is large.
            let aws = Arc::new(Box::pin(Aws::connect(settings.aws.clone(), Arc::clone(&clock))).await);
            (Some(Arc::clone(&aws)), AwsPorts::from(aws))
        };
        let LimitComponents { quota, local_quota, limiter, backend } =
            LimitComponents::start(&settings.limits)?;
        let quota_discoverer = settings
            .limits
            .service_quotas
            .then(|| QuotaDiscoverer::new(upstream.quotas, Arc::clone(&limiter)));
        let tasks = TaskTracker::new();
        let state = ServiceState::new(service::Dependencies {
            rules: current.clone(),
            associations: upstream.associations,
            log_groups: upstream.log_groups,
            keys: upstream.keys,
            queries: upstream.queries,
            roles: upstream.roles,
            quotas: quota_discoverer
                .clone()
                .map_or_else(no_quota_discovery, |discoverer| Arc::new(discoverer)),
            limiter: limiter.clone(),
            quota: quota.clone(),
            audit: journal.clone(),
            history: store.history,
            observations: store.observations,
            requests: store.requests,
            open: Arc::new(PendingChangeReader::new(Arc::clone(&store.log))),
            clock: Arc::clone(&clock),
            tasks: tasks.clone(),
        });
        let started = clock.now();
        maintenance::record(&*journal, &*clock, AuditOperation::Start, None, None)
            .await
            .map_err(StartError::Audit)?;
        if let Some(rotation) = checked.rotation() {
            rotation::record(&*journal, &*clock, rotation).await.map_err(StartError::Audit)?;
        }
        // Now a signed checkpoint exists, so auditors can verify the log before the first call.
        let sequencer =
            checked.with_leaf_cache(journal.leaf_cache()).start().await.map_err(StartError::Log)?;
        let audit = AuditPorts { log: Arc::clone(&store.log), tree: Arc::new(sequencer.prover()) };
        let reads = AuditQueries::new(audit, settings.audit.streams);
        Ok(Self {
            settings,
            started,
            clock,
            journal,
            log: store.log,
            monitored,
            leadership,
            sequencer,
            sinks,
            current,
            aws,
            quota,
            local_quota,
            limiter,
            quota_discoverer,
            backend,
            state,
            reads,
            tasks,
            tls: tls.map(Arc::new),
            metrics,
        })
    }

    /// The audit log of this service, for reading.
    #[must_use]
    pub fn log(&self) -> Arc<dyn EventReader> {
        Arc::clone(&self.log)
    }

    /// Reloads changed settings while the service runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        Reloader::new(self)
    }

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
        let reconciler = tokio::spawn(maintenance::run_reconciler(
            Arc::clone(&self.state),
            Arc::new(PendingChangeReader::new(Arc::clone(&self.log))),
            Arc::clone(&self.leadership),
            Arc::clone(&self.clock),
            self.started,
            self.settings.server.grpc.request_timeout,
        ));
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
        let metrics_upkeep = tokio::spawn(maintenance::run_metrics_upkeep(self.metrics.clone()));
        let services = server::Services {
            ports: self.layer_ports(),
            state: Arc::clone(&self.state),
            audit: self.reads.clone(),
            tls: self.tls.clone(),
        };
        let config = self.settings.server.grpc.clone();
        let drain = config.drain_timeout;
        let result = server::run(listeners.grpc, config, services, shutdown).await;

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
        if let Err(error) = self.record_service_event(AuditOperation::Stop, None).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the stop could not be recorded");
        }
        self.journal.close().await;
        self.sequencer.close().await;
        self.sinks.close().await;
        maintenance.abort();
        metrics_upkeep.abort();
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
        let monitored = Arc::clone(&self.monitored);
        Admin {
            rules: self.current.clone(),
            audit: self.journal.clone(),
            store: Arc::new(move || monitored.unready()),
            limits: Arc::new(move || limits::to_json(&local_quota, &limiter, shown_backend.as_deref())),
            backend: Arc::new(move || limits::backend(backend.as_deref())),
            metrics: Arc::new(move || metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default()),
        }
    }

    async fn record_service_event(
        &self,
        operation: AuditOperation,
        detail: Option<Box<str>>,
    ) -> Result<(), AuditUnavailable> {
        maintenance::record(&*self.journal, &*self.clock, operation, None, detail).await
    }
}

/// The key that signs checkpoints: the configured one, or one next to the store, which `first` creates.
fn signing_key(settings: &Settings, first: bool) -> Result<SigningKey, KeyError> {
    let origin = &settings.audit.checkpoint_origin;
    match (&settings.audit.checkpoint_key_file, settings.store.config.file()) {
        (Some(path), _) => SigningKey::open(path, origin),
        (None, Some(file)) if first => {
            SigningKey::open_or_create(&checkpoint::default_key_path(&file), origin)
        }
        (None, Some(file)) => SigningKey::open(&checkpoint::default_key_path(&file), origin),
        (None, None) => SigningKey::open(Path::new("checkpoint_key_file"), origin),
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

impl From<BuildError> for StartError {
    fn from(error: BuildError) -> Self {
        Self::Settings(error.0)
    }
}

fn no_quota_discovery() -> Arc<dyn QuotaDiscovery> {
    Arc::new(QuotaDiscoveryDisabled)
}

fn join_lines(diagnostics: &[String]) -> String {
    diagnostics.join("\n")
}

/// Renders diagnostics for people, one on each line.
#[must_use]
pub fn join_diagnostics(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
