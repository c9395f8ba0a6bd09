//! What the service needs from the world, in the domain's own words: one capability a trait.
//!
//! A port that performs I/O is `async` and boxed: one allocation beside a network round trip. A port
//! that only computes is a plain function.

pub mod audit;
pub mod auth;
pub mod aws;
pub mod history;
pub mod limit;
pub mod queries;
pub mod quotas;
pub mod sink;
pub mod store;

pub use self::{
    audit::{AuditLog, AuditTree, AuditUnavailable, LeafHash, PendingChange, PendingChanges, SignedTree},
    auth::{Authenticate, AuthnError, Authorize, ConfigSnapshot, SnapshotSource, TenantDirectory},
    aws::{
        Acknowledgement, AwsResponse, KeyAssociations, Keys, LogGroup, LogGroupPage, LogGroups, Roles,
        UpstreamError,
    },
    history::{IdempotencyStore, KeyHistoryReader, KeyHistoryWriter, LockGuard, RequestLock},
    limit::{AcquireError, Admission, OverQuota, QuotaState, TenantQuota, UpstreamLimiter, UpstreamPermit},
    queries::{Queries, QueryId, QueryState},
    quotas::{QuotaDiscovery, Quotas},
    sink::{Sink, SinkError, SinkPosition, SinkRecord, SinkStore},
    store::{
        AppendError, ArchivedEvents, Batch, EventFilter, EventIndexFields, EventReader, EventStore,
        IndexCheckedEvent, Leadership, LeadershipStatus, SignedCheckpoint, StoredEvent, Tile, TreeStore,
    },
};

use thiserror::Error;

use crate::domain::time::Timestamp;

/// Tells the time of day. Durations are measured by the runtime's own clock.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// A dependency did not answer, or not usefully.
#[derive(Debug, Error)]
#[error("{dependency} unavailable")]
pub struct Unavailable {
    /// Which one, for logs and metrics.
    pub dependency: &'static str,
    /// What it said, if anything.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}
