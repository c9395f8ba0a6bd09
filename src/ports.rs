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
    audit::{AuditLog, AuditTree, AuditUnavailable, LeafHash, OpenChange, OpenChanges, SignedTree},
    auth::{Authenticate, AuthnError, Authorize, InForce, Rules, TenantDirectory},
    aws::{
        Accepted, Answered, KeyAssociations, Keys, LogGroup, LogGroupPage, LogGroups, Roles, UpstreamError,
    },
    history::{HeldRequest, Keep, KeepHistory, KeyHistory, RequestRecords},
    limit::{Admission, NoTurn, OverQuota, Pace, QuotaState, TenantQuota, Turn},
    queries::{Queries, QueryId, QueryRun},
    quotas::{LearnQuotas, Quotas},
    sink::{Line, Sink, SinkError, SinkPosition, SinkStore},
    store::{
        AppendError, ArchivedEvents, Batch, Checked, EventFilter, EventReader, EventStore, Indexed, Lead,
        Leadership, SignedCheckpoint, StoredEvent, Tile, TreeStore,
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
