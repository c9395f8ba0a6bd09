//! The traits through which the use cases reach the outside, one capability each. Adapters implement them;
//! `crate::testing` has fakes. A port that performs I/O is `async` and boxed, which costs one allocation
//! per network round trip. A port that only computes is a plain function.

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

/// The wall clock. Durations are measured with the runtime's clock instead.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// A dependency did not respond, or responded with an error.
#[derive(Debug, Error)]
#[error("{dependency} unavailable")]
pub struct Unavailable {
    /// The name of the dependency, for logs and metrics.
    pub dependency: &'static str,
    /// The error of the dependency, if there was one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}
