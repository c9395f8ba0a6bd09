//! The service with all its parts. `start` builds it, and `run` serves with it.

use std::{fmt, sync::Arc};

use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::{admin_port::AdminPort, reload::Reloader, snapshot::SnapshotHolder};
use crate::{
    audit::{Journal, MonitoredTreeStore, Sequencer, Sinks},
    aws::Aws,
    config::Settings,
    domain::time::Timestamp,
    limit::{LocalQuota, LocalUpstreamLimiter, QuotaDiscoverer, redis::RedisBackend},
    ports::{
        ArchivedEvents, Clock, ClosableStore, EventReader, Leadership, TenantQuota, page_keys::PageKeyStore,
        store::StoreSpace,
    },
    server::Tls,
    service::{AuditQueries, CoverageQueries, Fleet, PageTokens, ServiceState},
};

/// The service, ready to run.
pub struct App {
    pub(super) settings: Settings,
    pub(super) started: Timestamp,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) journal: Arc<Journal>,
    pub(super) log: Arc<dyn EventReader>,
    pub(super) monitored: Arc<MonitoredTreeStore>,
    pub(super) leadership: Arc<dyn Leadership>,
    pub(super) archived: Arc<dyn ArchivedEvents>,
    pub(super) space: Arc<dyn StoreSpace>,
    pub(super) closing: Arc<dyn ClosableStore>,
    pub(super) sequencer: Sequencer,
    pub(super) sinks: Sinks,
    pub(super) current: Arc<SnapshotHolder>,
    pub(super) aws: Option<Arc<Aws>>,
    pub(super) quota: Arc<dyn TenantQuota>,
    pub(super) local_quota: Arc<LocalQuota>,
    pub(super) limiter: Arc<LocalUpstreamLimiter>,
    pub(super) quota_discoverer: Option<QuotaDiscoverer>,
    pub(super) backend: Option<Arc<RedisBackend>>,
    pub(super) state: Arc<ServiceState>,
    pub(super) page_tokens: Arc<PageTokens>,
    pub(super) page_keys: Arc<dyn PageKeyStore>,
    pub(super) reads: AuditQueries,
    pub(super) fleet: Fleet,
    pub(super) coverage: CoverageQueries,
    pub(super) tasks: TaskTracker,
    pub(super) tls: Option<Arc<Tls>>,
}

/// The ports of the service.
#[derive(Debug)]
pub struct Listeners {
    /// For gRPC.
    pub grpc: TcpListener,
    /// For HTTP: metrics, probes and limits. It answers already.
    pub admin: AdminPort,
}

// === impl App ===

impl App {
    /// The audit log of this service, for reading.
    #[must_use]
    pub fn log(&self) -> Arc<dyn EventReader> {
        Arc::clone(&self.log)
    }

    /// Reloads changed settings while the service runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        Reloader {
            current: Arc::clone(&self.current),
            tls: self.tls.clone(),
            exporter: None,
            aws: self.aws.clone(),
            limiter: Arc::clone(&self.limiter),
            journal: Arc::clone(&self.journal),
            keys: self.sequencer.key_change(),
            page_tokens: Arc::clone(&self.page_tokens),
            page_keys: Arc::clone(&self.page_keys),
            clock: Arc::clone(&self.clock),
        }
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}
