//! Composition: the one file that names every adapter. It builds them, wires them to the ports, runs the
//! service and ends it in order.

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

use self::{build_snapshot::GenerationError, limits::LimitComponents, snapshot::SnapshotHolder};
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
        AuditLog, AuditUnavailable, Clock, EventReader, Leadership, TenantQuota,
        quotas::{QuotaDiscovery, QuotaDiscoveryDisabled},
    },
    server::{
        self, ServeError,
        admin::{self, Admin},
        authn, quota, stack,
        tls::{Tls, TlsError},
    },
    service::{self, AuditPorts, AuditQueries, KeyBroker},
    store::{self, OpenError},
};

/// How often budgets of idle tenants are forgotten, and gauges brought up to date.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(15);

/// The service, ready to be run.
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
    own: Arc<LocalQuota>,
    limiter: Arc<LocalUpstreamLimiter>,
    learner: Option<QuotaDiscoverer>,
    link: Option<Arc<RedisBackend>>,
    broker: KeyBroker,
    reads: AuditQueries,
    tasks: TaskTracker,
    tls: Option<Arc<Tls>>,
    metrics: Option<PrometheusHandle>,
}

/// Where the service listens.
#[derive(Debug)]
pub struct Listeners {
    /// gRPC.
    pub grpc: TcpListener,
    /// HTTP: metrics and probes.
    pub admin: TcpListener,
}

/// Why the service does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[source] OpenError),
    /// The certificates cannot be used.
    #[error("[server.tls] cannot be used")]
    Tls(#[source] TlsError),
    /// Settings that only show to be wrong when they are put to use.
    #[error("the settings cannot be used:\n{}", list_names(.0))]
    Settings(Vec<String>),
    /// The key that signs the audit log's checkpoints cannot be used.
    #[error("the audit log's checkpoints cannot be signed")]
    Key(#[source] KeyError),
    /// The server that replicas share their limits through cannot be used.
    #[error("limits.backend cannot be used")]
    Limits(#[source] InvalidRedisUrl),
    /// The audit log cannot be given to its sinks.
    #[error("the sinks of the audit log cannot be used")]
    Sinks(#[source] SinksError),
    /// The audit log is not what was signed.
    #[error("the audit log cannot be continued")]
    Log(#[source] Corruption),
    /// The first event could not be written.
    #[error("the audit log cannot be written")]
    Audit(#[source] AuditUnavailable),
    /// Something that the settings ask for is not in this release.
    #[error("{0} is not available in this release")]
    Missing(&'static str),
}

/// Why the service ended before it was asked to, or not in order.
#[derive(Debug, Error)]
pub enum RunError {
    /// The gRPC face.
    #[error(transparent)]
    Grpc(ServeError),
    /// The admin port.
    #[error("the admin port failed")]
    Admin(#[source] io::Error),
}

// === impl App ===

impl App {
    /// Opens the store, starts to fetch the issuers' keys, and records that the service starts. No
    /// store, no start.
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
        // What a reload exchanges is kept in the generation alone.
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
            // Boxed: the SDK's own start is large.
            let aws = Arc::new(Box::pin(Aws::connect(settings.aws.clone(), Arc::clone(&clock))).await);
            (Some(Arc::clone(&aws)), AwsPorts::from(aws))
        };
        let LimitComponents { quota, own, limiter, link } = LimitComponents::start(&settings.limits)?;
        let learner = settings
            .limits
            .service_quotas
            .then(|| QuotaDiscoverer::new(upstream.quotas, Arc::clone(&limiter)));
        let tasks = TaskTracker::new();
        let broker = KeyBroker::new(service::Dependencies {
            rules: current.clone(),
            associations: upstream.associations,
            log_groups: upstream.log_groups,
            keys: upstream.keys,
            queries: upstream.queries,
            roles: upstream.roles,
            quotas: learner.clone().map_or_else(no_quota_discovery, |learner| Arc::new(learner)),
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
        // From here on there is a signed checkpoint: whoever serves can be verified.
        let sequencer = checked.with_leaf_cache(journal.tail()).start().await.map_err(StartError::Log)?;
        let audit = AuditPorts { log: Arc::clone(&store.log), tree: Arc::new(sequencer.prover()) };
        let reads = AuditQueries::new(broker.clone(), audit, settings.audit.streams);
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
            own,
            limiter,
            learner,
            link,
            broker,
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

    /// What takes over changed settings while the service runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        Reloader::new(self)
    }

    /// Serves until `shutdown` resolves, then ends in order: calls, changes under way, the journal.
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
            self.broker.clone(),
            Arc::new(PendingChangeReader::new(Arc::clone(&self.log))),
            Arc::clone(&self.leadership),
            Arc::clone(&self.clock),
            self.started,
            self.settings.server.grpc.request_timeout,
        ));
        let history = tokio::spawn({
            let broker = self.broker.clone();
            async move { broker.run_observation_flusher().await }
        });
        let housekeeping = tokio::spawn(maintenance::run_maintenance(
            Arc::clone(&self.own),
            Arc::clone(&self.limiter),
            self.learner.clone(),
            self.aws.clone(),
            MAINTENANCE_INTERVAL,
        ));
        let folding = tokio::spawn(maintenance::run_metrics_upkeep(self.metrics.clone()));
        let parts = server::Services {
            ports: self.request_stack(),
            broker: self.broker.clone(),
            audit: self.reads.clone(),
            tls: self.tls.clone(),
        };
        let config = self.settings.server.grpc.clone();
        let drain = config.drain_timeout;
        let served = server::run(listeners.grpc, config, parts, shutdown).await;

        self.tasks.close();
        if tokio::time::timeout(drain, self.tasks.wait()).await.is_err() {
            tracing::warn!(changes = self.tasks.len(), "changes were still under way at the end");
        }
        history.abort();
        if let Err(error) = self.broker.flush_observations().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "what was last seen of keys is not kept");
        }
        if let Err(error) = self.record_service_event(AuditOperation::Stop, None).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the stop is not recorded");
        }
        self.journal.close().await;
        self.sequencer.close().await;
        self.sinks.close().await;
        housekeeping.abort();
        folding.abort();
        reconciler.abort();
        let _ = end_admin.send(());
        let admin = admin.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        served.map_err(RunError::Grpc).and(admin.map_err(RunError::Admin))
    }

    fn request_stack(&self) -> stack::Ports {
        let (audit, clock): (Arc<dyn AuditLog>, _) = (self.journal.clone(), &self.clock);
        let quota = Arc::clone(&self.quota);
        stack::Ports {
            authn: authn::Ports {
                rules: self.current.clone(),
                audit: Arc::clone(&audit),
                clock: Arc::clone(clock),
            },
            quota: quota::Ports { quota, audit, clock: Arc::clone(clock) },
        }
    }

    fn admin(&self) -> Admin {
        let metrics = self.metrics.clone();
        let (own, limiter, link) = (Arc::clone(&self.own), Arc::clone(&self.limiter), self.link.clone());
        let (shown, monitored) = (self.link.clone(), Arc::clone(&self.monitored));
        Admin {
            rules: self.current.clone(),
            audit: self.journal.clone(),
            store: Arc::new(move || monitored.unready()),
            limits: Arc::new(move || limits::to_json(&own, &limiter, shown.as_deref())),
            backend: Arc::new(move || limits::backend(link.as_deref())),
            metrics: Arc::new(move || metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default()),
        }
    }

    async fn record_service_event(
        &self,
        act: AuditOperation,
        detail: Option<Box<str>>,
    ) -> Result<(), AuditUnavailable> {
        maintenance::record(&*self.journal, &*self.clock, act, None, detail).await
    }
}

/// The key that signs checkpoints: the one that is configured, or one beside the store, which is made at
/// the `first` start.
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

impl From<GenerationError> for StartError {
    fn from(error: GenerationError) -> Self {
        Self::Settings(error.0)
    }
}

fn no_quota_discovery() -> Arc<dyn QuotaDiscovery> {
    Arc::new(QuotaDiscoveryDisabled)
}

fn list_names(diagnostics: &[String]) -> String {
    diagnostics.join("\n")
}

/// Faults of settings, one a line, for people.
#[must_use]
pub fn join_faults(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
