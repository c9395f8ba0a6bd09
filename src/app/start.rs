//! Builds every adapter, and connects the adapters to the ports.

use std::{mem, sync::Arc};

use tokio_util::task::TaskTracker;

use super::{
    archive, build_snapshot, clock::SystemClock, error::StartError, limits::LimitComponents, maintenance,
    service::App, signing_key::signing_key, sinks, snapshot::SnapshotHolder, upstream::AwsPorts,
};
use crate::{
    audit::{
        Journal, MonitoredTreeStore, PendingChangeReader, Sequencer, checkpoint::SigningKey, rotation,
        sequencer::Corruption, sinks::EventSource,
    },
    aws::Aws,
    config::Settings,
    domain::audit::AuditOperation,
    limit::QuotaDiscoverer,
    ports::{
        Clock,
        coverage::CoverageStore,
        page_keys::PageKeyStore,
        quotas::{QuotaDiscovery, QuotaDiscoveryDisabled},
        tree::TreeStore,
        upgrade::UpgradeProgress,
    },
    server::{StatusTexts, Tls},
    service::{
        self, AuditPorts, AuditQueries, CoveragePorts, CoverageQueries, Fleet, FleetPorts, PageTokens,
        RecordedFindings, ServiceState,
    },
    store,
};

impl App {
    /// Opens the store, starts to fetch the issuers' keys, and records the start. It fails without the store.
    /// `upstream` replaces AWS.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn start(settings: Settings, upstream: Option<AwsPorts>) -> Result<Self, StartError> {
        Box::pin(Self::start_with_progress(settings, upstream, &UpgradeProgress::default())).await
    }

    /// As [`Self::start`], and shows how far an upgrade of the store is.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn start_with_progress(
        mut settings: Settings,
        upstream: Option<AwsPorts>,
        upgrade: &UpgradeProgress,
    ) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let tls = settings.server.tls.clone().map(Tls::load).transpose().map_err(StartError::Tls)?;
        // Only the snapshot holds what a reload replaces.
        let (tenants, policy) = (Arc::new(mem::take(&mut settings.tenants)), mem::take(&mut settings.policy));
        let first = build_snapshot::build(settings.auth.clone(), tenants, &policy, Arc::clone(&clock))?;
        let current = Arc::new(SnapshotHolder::new(first));
        let store = open_store(&settings, upgrade).await?;
        let (fleet_ports, key) = (fleet_ports(&store), log_key(&settings, &*store.tree).await?);
        let (log, monitored) = (Arc::clone(&store.log), Arc::new(MonitoredTreeStore::new(store.tree)));
        let page_tokens = page_tokens(&*store.page_keys, &key, &*clock).await?;
        let checked = Sequencer::check(log, monitored.clone(), Arc::clone(&clock), key).await;
        let checked = checked.map_err(StartError::Log)?;
        let (tagger, config) = (checked.tagger(), settings.audit.journal.clone());
        let journal = Arc::new(Journal::start(store.events, Arc::clone(&clock), tagger, config));
        let archive = archive::archived_events(&settings, monitored.clone()).await;
        let source = EventSource {
            log: Arc::clone(&store.log),
            archive: archive.clone(),
            store: store.sinks,
            leadership: Arc::clone(&store.leadership),
            clock: Arc::clone(&clock),
        };
        let sinks = Box::pin(sinks::start(&settings, source)).await.map_err(StartError::Sinks)?;

        let (aws, upstream) = if let Some(upstream) = upstream {
            (None, upstream)
        } else {
            // Boxed, because the future of the SDK's start is large.
            let aws = Arc::new(Box::pin(Aws::connect(settings.aws.clone(), Arc::clone(&clock))).await);
            maintenance::check_credentials_at_start(&aws).await;
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
            page_tokens: Arc::clone(&page_tokens),
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
        let audit = AuditPorts { log: Arc::clone(&store.log), tree: Arc::new(sequencer.prover()), archive };
        let reads = AuditQueries::new(audit, settings.audit.streams);
        let FleetParts { fleet, coverage } = fleet_parts(&settings, fleet_ports, &journal, &clock);
        Ok(Self {
            settings,
            started,
            clock,
            journal,
            log: store.log,
            monitored,
            leadership: store.leadership,
            archived: store.archived,
            space: store.space,
            closing: store.closing,
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
            page_tokens,
            page_keys: store.page_keys,
            reads,
            fleet,
            coverage,
            tasks,
            tls: tls.map(Arc::new),
        })
    }
}

/// Opens the store, and upgrades it if an earlier release wrote it.
async fn open_store(settings: &Settings, upgrade: &UpgradeProgress) -> Result<store::Store, StartError> {
    store::open_with_progress(&settings.store.config, upgrade).await.map_err(StartError::Store)
}

/// The key of the log. It is created for a log without a checkpoint, because a signed one must have its key.
async fn log_key(settings: &Settings, tree: &dyn TreeStore) -> Result<SigningKey, StartError> {
    let checkpoint = tree.checkpoint().await;
    let is_signed = checkpoint.map_err(|error| StartError::Log(Corruption::Unavailable(error)))?.is_some();
    signing_key(settings, !is_signed).map_err(StartError::Key)
}

fn no_quota_discovery() -> Arc<dyn QuotaDiscovery> {
    Arc::new(QuotaDiscoveryDisabled)
}

/// The use cases of the fleet.
struct FleetParts {
    fleet: Fleet,
    coverage: CoverageQueries,
}

/// Connects the use cases of the fleet. With `audit.findings`, what changes in the coverage is recorded in the
/// audit log.
fn fleet_parts(
    settings: &Settings,
    ports: FleetPorts,
    journal: &Arc<Journal>,
    clock: &Arc<dyn Clock>,
) -> FleetParts {
    let coverage: Arc<dyn CoverageStore> = if settings.audit.findings {
        Arc::new(RecordedFindings::new(ports.coverage, journal.clone(), Arc::clone(clock)))
    } else {
        ports.coverage
    };
    let queries = CoveragePorts { store: Arc::clone(&coverage), rules: Arc::clone(&ports.rules) };
    let fleet = Fleet::new(FleetPorts { coverage, ..ports }, settings.fleet.settings.clone());
    FleetParts { fleet, coverage: CoverageQueries::new(queries) }
}

/// The keys of page tokens. They are stored before the log is signed with a new key, because `rotate-key --end`
/// can then remove the former one.
async fn page_tokens(
    store: &dyn PageKeyStore,
    key: &SigningKey,
    clock: &dyn Clock,
) -> Result<Arc<PageTokens>, StartError> {
    let secrets = key.page_token_secrets();
    let tokens = PageTokens::new(&secrets);
    tokens.install(store, &secrets, clock.now()).await.map_err(StartError::PageKeys)?;
    Ok(Arc::new(tokens))
}

/// The parts of the store that the fleet uses.
fn fleet_ports(store: &store::Store) -> FleetPorts {
    FleetPorts {
        jobs: Arc::clone(&store.jobs),
        queue: Arc::clone(&store.queue),
        rules: Arc::clone(&store.rules),
        rule_schedule: Arc::clone(&store.rule_schedule),
        repairs: Arc::clone(&store.repairs),
        coverage: Arc::clone(&store.coverage),
        texts: Arc::new(StatusTexts),
    }
}
