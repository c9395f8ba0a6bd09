//! Composition: the one file that names every adapter. It builds them, wires them to the ports, runs the
//! service and ends it in order.

mod aside;
mod clock;
mod current;
mod generation;
mod lifecycle;
mod limits;
pub mod reload;
mod sinks;
pub mod telemetry;
mod upstream;
pub mod watch;

use std::{fmt, future::Future, io, mem, path::Path, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use thiserror::Error;
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::task::TaskTracker;

pub use self::{clock::SystemClock, reload::Reloader, sinks::SinksError, upstream::Upstream};
use self::{current::Current, generation::GenerationError, limits::Counted};
use crate::{
    audit::{
        Heard, Journal, Opened, Sequencer, Sinks,
        checkpoint::{self, KeyError, SigningKey},
        rotation,
        sequencer::Broken,
        sinks::Source,
    },
    aws::Aws,
    config::{Fault, Settings},
    domain::{audit::Act, time::Timestamp},
    limit::{
        LocalPace, LocalQuota, QuotaLearner,
        redis::{InvalidRedisUrl, Link},
    },
    ports::{
        AuditLog, AuditUnavailable, Clock, EventReader, Leadership, TenantQuota,
        quotas::{LearnQuotas, NotAsked},
    },
    server::{
        self, ServeError,
        admin::{self, Admin},
        authn, quota, stack,
        tls::{Tls, TlsError},
    },
    service::{self, AuditPorts, AuditReads, KeyBroker},
    store::{self, OpenError},
};

/// How often budgets of idle tenants are forgotten, and gauges brought up to date.
const HOUSEKEEPING: Duration = Duration::from_secs(15);

/// The service, ready to be run.
pub struct App {
    settings: Settings,
    started: Timestamp,
    clock: Arc<dyn Clock>,
    journal: Arc<Journal>,
    log: Arc<dyn EventReader>,
    heard: Arc<Heard>,
    leadership: Arc<dyn Leadership>,
    sequencer: Sequencer,
    sinks: Sinks,
    current: Arc<Current>,
    aws: Option<Arc<Aws>>,
    quota: Arc<dyn TenantQuota>,
    own: Arc<LocalQuota>,
    pace: Arc<LocalPace>,
    learner: Option<QuotaLearner>,
    link: Option<Arc<Link>>,
    broker: KeyBroker,
    reads: AuditReads,
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
    #[error("the settings cannot be used:\n{}", listed(.0))]
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
    Log(#[source] Broken),
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
        upstream: Option<Upstream>,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let tls = settings.server.tls.clone().map(Tls::load).transpose().map_err(StartError::Tls)?;
        // What a reload exchanges is kept in the generation alone.
        let tenants = Arc::new(mem::take(&mut settings.tenants));
        let policy = mem::take(&mut settings.policy);
        let auth = settings.auth.clone();
        let first =
            generation::first(auth, tenants, &policy, Arc::clone(&clock)).map_err(StartError::from)?;
        let current = Arc::new(Current::new(first));
        let store = store::open(&settings.store.config).await.map_err(StartError::Store)?;
        let key = signing_key(&settings, true).map_err(StartError::Key)?;
        let (log, heard) = (Arc::clone(&store.log), Arc::new(Heard::new(store.tree)));
        let checked = Sequencer::check(log, heard.clone(), Arc::clone(&clock), key).await;
        let checked = checked.map_err(StartError::Log)?;
        let journal = Journal::start(store.events, Arc::clone(&clock), settings.audit.journal.clone());
        let journal = Arc::new(journal);
        let (leadership, log) = (store.leadership, Arc::clone(&store.log));
        let source = Source {
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
            (Some(Arc::clone(&aws)), Upstream::from(aws))
        };
        let Counted { quota, own, pace, link } = Counted::start(&settings.limits)?;
        let learner =
            settings.limits.service_quotas.then(|| QuotaLearner::new(upstream.quotas, Arc::clone(&pace)));
        let tasks = TaskTracker::new();
        let broker = KeyBroker::new(service::Ports {
            rules: current.clone(),
            associations: upstream.associations,
            log_groups: upstream.log_groups,
            keys: upstream.keys,
            queries: upstream.queries,
            roles: upstream.roles,
            quotas: learner.clone().map_or_else(not_asked, |learner| Arc::new(learner)),
            pace: pace.clone(),
            quota: quota.clone(),
            audit: journal.clone(),
            history: store.history,
            seen: store.seen,
            requests: store.requests,
            open: Arc::new(Opened::new(Arc::clone(&store.log))),
            clock: Arc::clone(&clock),
            tasks: tasks.clone(),
        });
        let started = clock.now();
        lifecycle::record(&*journal, &*clock, Act::Start, None, None).await.map_err(StartError::Audit)?;
        if let Some(rotation) = checked.rotation() {
            rotation::record(&*journal, &*clock, rotation).await.map_err(StartError::Audit)?;
        }
        // From here on there is a signed checkpoint: whoever serves can be verified.
        let sequencer = checked.following(journal.tail()).go_on().await.map_err(StartError::Log)?;
        let audit = AuditPorts { log: Arc::clone(&store.log), tree: Arc::new(sequencer.prover()) };
        let reads = AuditReads::new(broker.clone(), audit, settings.audit.streams);
        Ok(Self {
            settings,
            started,
            clock,
            journal,
            log: store.log,
            heard,
            leadership,
            sequencer,
            sinks,
            current,
            aws,
            quota,
            own,
            pace,
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
        let settling = tokio::spawn(lifecycle::settle(
            self.broker.clone(),
            Arc::new(Opened::new(Arc::clone(&self.log))),
            Arc::clone(&self.leadership),
            Arc::clone(&self.clock),
            self.started,
            self.settings.server.grpc.request_timeout,
        ));
        let history = tokio::spawn({
            let broker = self.broker.clone();
            async move { broker.keep_history().await }
        });
        let housekeeping = tokio::spawn(lifecycle::keep_house(
            Arc::clone(&self.own),
            Arc::clone(&self.pace),
            self.learner.clone(),
            self.aws.clone(),
            HOUSEKEEPING,
        ));
        let folding = tokio::spawn(lifecycle::fold_metrics(self.metrics.clone()));
        let parts = server::Parts {
            ports: self.stack(),
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
        if let Err(error) = self.broker.flush_history().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "what was last seen of keys is not kept");
        }
        if let Err(error) = self.record(Act::Stop, None).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the stop is not recorded");
        }
        self.journal.close().await;
        self.sequencer.close().await;
        self.sinks.close().await;
        housekeeping.abort();
        folding.abort();
        settling.abort();
        let _ = end_admin.send(());
        let admin = admin.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        served.map_err(RunError::Grpc).and(admin.map_err(RunError::Admin))
    }

    fn stack(&self) -> stack::Ports {
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
        let (own, pace, link) = (Arc::clone(&self.own), Arc::clone(&self.pace), self.link.clone());
        let (shown, heard) = (self.link.clone(), Arc::clone(&self.heard));
        Admin {
            rules: self.current.clone(),
            audit: self.journal.clone(),
            store: Arc::new(move || heard.unready()),
            limits: Arc::new(move || limits::told(&own, &pace, shown.as_deref())),
            backend: Arc::new(move || limits::backend(link.as_deref())),
            metrics: Arc::new(move || metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default()),
        }
    }

    async fn record(&self, act: Act, detail: Option<Box<str>>) -> Result<(), AuditUnavailable> {
        lifecycle::record(&*self.journal, &*self.clock, act, None, detail).await
    }
}

/// The key that signs checkpoints: the one that is configured, or one beside the store, which is made at
/// the `first` start.
fn signing_key(settings: &Settings, first: bool) -> Result<SigningKey, KeyError> {
    let origin = &settings.audit.checkpoint_origin;
    match (&settings.audit.checkpoint_key_file, settings.store.config.file()) {
        (Some(path), _) => SigningKey::open(path, origin),
        (None, Some(file)) if first => SigningKey::open_or_make(&checkpoint::key_beside(&file), origin),
        (None, Some(file)) => SigningKey::open(&checkpoint::key_beside(&file), origin),
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

fn not_asked() -> Arc<dyn LearnQuotas> {
    Arc::new(NotAsked)
}

fn listed(faults: &[String]) -> String {
    faults.join("\n")
}

/// Faults of settings, one a line, for people.
#[must_use]
pub fn told(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
