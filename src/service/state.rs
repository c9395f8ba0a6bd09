//! The state that all use cases of one process share: the ports, and the locks and buffers between calls.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::{
    queries::page_keys::PageTokens,
    shared::{
        fact_clock::FactClock, fair_reads::FairReads, keyed_mutex::KeyedMutex,
        observation_buffer::ObservationBuffer,
    },
    usage::scan_registry::ScanRegistry,
};
use crate::{
    domain::{
        association::{Location, Resource},
        audit::EventId,
        idempotency::IdempotencyKey,
        tenant::TenantId,
        time::Timestamp,
    },
    ports::{
        AuditLog, Clock, IdempotencyStore, KeyAssociations, KeyHistoryReader, KeyHistoryWriter, Keys,
        LogGroups, PendingChanges, Queries, QuotaDiscovery, Roles, SnapshotSource, TenantQuota, Unavailable,
        UpstreamLimiter,
    },
};

/// The ports of the use cases.
#[derive(Clone)]
pub struct Dependencies {
    /// Holds the tenants and the policy that are in effect.
    pub rules: Arc<dyn SnapshotSource>,
    /// Sets and removes keys in CloudWatch Logs.
    pub associations: Arc<dyn KeyAssociations>,
    /// Reads log groups.
    pub log_groups: Arc<dyn LogGroups>,
    /// Reads keys and their policies.
    pub keys: Arc<dyn Keys>,
    /// Runs CloudWatch Logs Insights queries.
    pub queries: Arc<dyn Queries>,
    /// Simulates the permissions of the tenants' roles, and tests their trust policies.
    pub roles: Arc<dyn Roles>,
    /// Discovers the quotas that AWS applies to the locations in use.
    pub quotas: Arc<dyn QuotaDiscovery>,
    /// Issues permits for calls to AWS.
    pub limiter: Arc<dyn UpstreamLimiter>,
    /// Returns the current state of each tenant's quota.
    pub quota: Arc<dyn TenantQuota>,
    /// Records audit events.
    pub audit: Arc<dyn AuditLog>,
    /// Reads the current and former keys of resources.
    pub history: Arc<dyn KeyHistoryReader>,
    /// Stores key observations.
    pub observations: Arc<dyn KeyHistoryWriter>,
    /// Stores requests by their idempotency key.
    pub requests: Arc<dyn IdempotencyStore>,
    /// Finds changes whose outcome is unknown.
    pub open: Arc<dyn PendingChanges>,
    /// Seals and opens page tokens.
    pub page_tokens: Arc<PageTokens>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Changes that run on their own task; shutdown waits for them.
    pub tasks: TaskTracker,
}

/// The ports, and the locks and buffers that coordinate calls. A process has one instance.
pub struct ServiceState {
    pub(super) ports: Dependencies,
    /// Serializes changes of one resource.
    pub(super) resource_locks: KeyedMutex<Resource>,
    /// Serializes requests with one idempotency key.
    pub(super) request_locks: KeyedMutex<IdempotencyKey>,
    /// Serializes the reconciliation of one change.
    pub(super) reconciliation_locks: KeyedMutex<EventId>,
    pub(super) observations: ObservationBuffer,
    /// The time of facts about keys.
    pub(super) facts: FactClock,
    /// Shares the long reads of the store among the tenants.
    pub(super) reads: FairReads,
    /// The same for reads that are short.
    pub(super) short_reads: FairReads,
    /// The same for reads of the archive, which can be a slow bucket.
    pub(super) archive_reads: FairReads,
    /// Lets one caller of each tenant at a time wait for an evaluation of rules.
    pub(super) evaluation_locks: KeyedMutex<TenantId>,
    pub(super) scans: ScanRegistry,
}

// === impl ServiceState ===

impl ServiceState {
    /// Creates the state over these ports, with no call in flight.
    #[must_use]
    pub fn new(ports: Dependencies) -> Arc<Self> {
        Arc::new(Self {
            ports,
            resource_locks: KeyedMutex::default(),
            request_locks: KeyedMutex::default(),
            reconciliation_locks: KeyedMutex::default(),
            observations: ObservationBuffer::default(),
            facts: FactClock::default(),
            reads: FairReads::default(),
            short_reads: FairReads::default(),
            archive_reads: FairReads::default(),
            evaluation_locks: KeyedMutex::default(),
            scans: ScanRegistry::default(),
        })
    }

    /// A time for a fact about this location: later than every fact about it that is known.
    pub(super) async fn fact_time(&self, location: &Location) -> Timestamp {
        self.facts.now_in(location, &*self.ports.clock, &*self.ports.history).await
    }

    /// Stores buffered key observations for as long as the service runs. Never returns.
    pub async fn run_observation_flusher(&self) {
        self.observations.run_flusher(&*self.ports.observations).await;
    }

    /// Stores the observations that are buffered now.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if the store does not accept them. They stay in the buffer.
    pub async fn flush_observations(&self) -> Result<(), Unavailable> {
        self.observations.flush(&*self.ports.observations).await
    }
}

impl std::fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dependencies").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ServiceState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceState").finish_non_exhaustive()
    }
}
