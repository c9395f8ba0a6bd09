//! The traits through which the use cases reach the outside, one capability each. Adapters implement them;
//! `crate::testing` has fakes. A port that performs I/O is `async` and boxed, which costs one allocation
//! per network round trip. A port that only computes is a plain function.

pub mod audit;
pub mod auth;
pub mod aws;
pub mod bulk;
mod clock;
pub mod coverage;
pub mod event_archive;
mod event_filter;
pub mod group_events;
pub mod history;
pub mod limit;
pub mod log_files;
pub mod page_keys;
pub mod queries;
pub mod quotas;
pub mod rules;
pub mod sink;
pub mod store;
pub mod tree;
mod unavailable;
pub mod upgrade;

pub use self::{
    audit::{
        AuditLog, AuditTree, AuditUnavailable, LeafHash, PendingChange, PendingChanges, RecordedChange,
        RecordedOutcome, SignedTree,
    },
    auth::{
        Authenticate, AuthnError, Authorize, ConfigSnapshot, IssuerReadiness, SnapshotSource, StreamToken,
        TenantDirectory,
    },
    aws::{
        Acknowledgement, AwsResponse, KeyAssociations, Keys, LogGroup, LogGroupPage, LogGroups, Roles,
        UpstreamError,
    },
    clock::Clock,
    event_archive::EventArchive,
    group_events::{
        GroupEvents, GroupEventsError, GroupMessage, Irrelevance, Receipt, UnreadableEvent, UnreadableMessage,
    },
    history::{IdempotencyStore, KeyHistoryReader, KeyHistoryWriter, LockGuard, RequestLock},
    limit::{AcquireError, Admission, OverQuota, QuotaState, TenantQuota, UpstreamLimiter, UpstreamPermit},
    queries::{Queries, QueryId, QueryState},
    quotas::{QuotaDiscovery, Quotas},
    sink::{Sink, SinkError, SinkPosition, SinkRecord, SinkStore},
    store::{
        AppendError, ArchivedEvents, Batch, BatchTag, ClosableStore, EventFilter, EventIndexFields,
        EventReader, EventStore, IndexCheckedEvent, LogReplacement, StoredBatch, StoredEvent,
    },
    tree::{Leadership, LeadershipStatus, SignedCheckpoint, Tile, TreeStore},
    unavailable::Unavailable,
};
