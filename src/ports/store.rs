//! The durable store of the audit log, which is appended to in batches and read in order. SQLite and
//! PostgreSQL implement it.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use thiserror::Error;
use uuid::Uuid;

pub use super::event_filter::EventFilter;
use super::{audit::LeafHash, history::RequestLock, tree::SignedCheckpoint, unavailable::Unavailable};
use crate::domain::{
    association::RecordedAssociation,
    audit::{
        EventId,
        schema::{EventHead, Text},
    },
    aws::AccountId,
    call::RequestId,
    history::Observation,
    idempotency::RecordedStep,
    tenant::TenantId,
    time::Timestamp,
};

/// The changes of one transaction: the store keeps all of them or none.
#[derive(Clone, Default)]
pub struct Batch {
    /// The index fields of the events, in order.
    pub events: Vec<EventIndexFields>,
    /// The bytes of all events, one after the other.
    pub bytes: Vec<u8>,
    /// The leaf hashes of the events, in order.
    pub leaves: Vec<LeafHash>,
    /// Shows that this log's journal handed over the events.
    pub tag: BatchTag,
    /// The associations that the events record, in order.
    pub associations: Vec<RecordedAssociation>,
    /// The observations of resources before their changes, in order.
    pub observations: Vec<Observation>,
    /// The steps of requests with an idempotency key, in order, each with its event.
    pub requests: Vec<(EventId, RecordedStep)>,
}

/// Shows that a journal with the log's signing key handed over a batch. The store keeps it next to the events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchTag {
    /// The batch comes after this sequence number.
    pub after: u64,
    /// The authentication code. Empty for a batch of a release that did not authenticate batches.
    pub code: Vec<u8>,
}

/// The place of a batch in the log, with its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// The sequence number of the first event.
    pub first: u64,
    /// The sequence number of the last event.
    pub last: u64,
    /// The tag of the batch.
    pub tag: BatchTag,
}

/// The fields by which the store finds an event, and the position of the event's bytes.
#[derive(Clone, Debug)]
pub struct EventIndexFields {
    /// The event's id.
    pub id: EventId,
    /// The event's time.
    pub time: Timestamp,
    /// The tenant of the caller.
    pub tenant: Option<TenantId>,
    /// The event's kind, such as `intent`.
    pub kind: &'static str,
    /// The operation.
    pub action: &'static str,
    /// The account of the resource.
    pub account: Option<AccountId>,
    /// The request id, which all events of one call share.
    pub correlation: RequestId,
    /// `OK`, or the reason of a failure. `None` if the operation has not ended.
    pub outcome: Option<&'static str>,
    /// The intent that the event closes.
    pub closes: Option<EventId>,
    /// The start of the event's bytes in [`Batch::bytes`].
    pub start: usize,
    /// The number of the event's bytes.
    pub len: usize,
}

/// An event as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// The sequence number in the log, from 1, without gaps.
    pub seq: u64,
    /// The event's id.
    pub id: EventId,
    /// The tenant in the store's index.
    pub tenant: Option<String>,
    /// The event's bytes: one JSON object on one line. The tree hashes exactly these bytes. If the stored
    /// bytes are not UTF-8, this is another text, which is not JSON and not the text of any event.
    pub body: String,
}

/// An event, compared with the store's index fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexCheckedEvent {
    /// The compared event.
    pub event: StoredEvent,
    /// The index fields that differ from the event's bytes. Empty if all agree.
    pub mismatches: Vec<&'static str>,
}

/// Appends to the log, for one writer at a time.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Stores the batch, which is durable when this returns. Do not cancel the future. Returns the sequence
    /// number of the first event if the store knows it without another query; the other events follow without
    /// a gap.
    ///
    /// # Errors
    ///
    /// [`AppendError`]. After an error, append nothing before [`EventStore::recover`] has succeeded.
    async fn append(&self, batch: Arc<Batch>) -> Result<Option<u64>, AppendError>;

    /// Recovers from an error: makes everything that can be read durable and tries a write. Returns whether
    /// the event `doubtful` was stored.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if the store has not recovered yet. Try again later.
    async fn recover(&self, doubtful: Option<EventId>) -> Result<bool, Unavailable>;
}

/// Reads the log.
#[async_trait]
pub trait EventReader: Send + Sync + 'static {
    /// At most `limit` events that match the filter and come before `before`, the newest first.
    async fn list(
        &self,
        filter: &EventFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable>;

    /// At most `limit` events that match the filter, up to and including `through`, the oldest first.
    async fn next(
        &self,
        filter: &EventFilter,
        through: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable>;

    /// At most `limit` events after this sequence number, the oldest first.
    async fn after(&self, seq: u64, limit: u32) -> Result<Vec<StoredEvent>, Unavailable>;

    /// The events of [`EventReader::after`], each compared with the store's index fields.
    async fn index_check(&self, seq: u64, limit: u32) -> Result<Vec<IndexCheckedEvent>, Unavailable>;

    /// The intents before this time whose end is not known, the oldest first. They have no outcome or an
    /// unknown one, and were not reconciled.
    async fn open_intents(&self, before: Timestamp) -> Result<Vec<StoredEvent>, Unavailable>;

    /// The event with this id.
    async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable>;

    /// The batches that begin after this sequence number and at or before `through`, the first one first.
    async fn batches(&self, after: u64, through: u64) -> Result<Vec<StoredBatch>, Unavailable>;

    /// How many rows are outside the log, because their sequence number is not positive.
    async fn count_misplaced(&self) -> Result<u64, Unavailable>;
}

/// The space that the store takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSize {
    /// The size of the store, in bytes.
    pub bytes: u64,
    /// The free space on its file system, in bytes. `None` if a server has the store.
    pub free: Option<u64>,
}

/// Measures the store.
#[async_trait]
pub trait StoreSpace: Send + Sync + 'static {
    /// The space that the store takes now.
    async fn size(&self) -> Result<StoreSize, Unavailable>;
}

/// Removes events that were moved to an archive.
#[async_trait]
pub trait ArchivedEvents: Send + Sync + 'static {
    /// The sequence number up to which every sink has read the log. `None` if there is no sink.
    async fn read_through(&self) -> Result<Option<u64>, Unavailable>;

    /// Removes the events up to and including this sequence number, the oldest first. The tree over them
    /// stays. It removes them in steps, so that writes continue meanwhile. After an interruption, the next
    /// call removes the rest.
    async fn remove_through(&self, seq: u64) -> Result<(), Unavailable>;

    /// Gives the space of removed events back to the file system, in steps, so that writes continue meanwhile. The
    /// default implementation is for stores that cannot.
    async fn shrink(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    /// Keeps other processes from archiving until the returned lock is dropped. `None` if another process has the
    /// lock. The default implementation is for stores with a single process and does nothing.
    async fn lock_archive(&self) -> Result<Option<RequestLock>, Unavailable> {
        Ok(Some(RequestLock::default()))
    }
}

/// Closes the store.
#[async_trait]
pub trait ClosableStore: Send + Sync + 'static {
    /// Closes every connection. A SQLite store is then one file, unless another process reads it, and
    /// another process may open it. Whatever uses the store here afterwards fails.
    async fn close(&self);
}

/// Replaces the whole log, for a log whose signing key is lost.
#[async_trait]
pub trait LogReplacement: Send + Sync + 'static {
    /// Removes every event, the tree and the checkpoints, and stores the checkpoint of no events and these
    /// batches, each with one event, as the beginning of a new log. All of it is one transaction.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    async fn replace_log(&self, empty: &SignedCheckpoint, first: &[Batch]) -> Result<(), AppendError>;
}

/// Why a batch was not stored, or may not have been.
#[derive(Debug, Error)]
pub enum AppendError {
    /// It is certain that nothing was stored.
    #[error("nothing was written")]
    NotWritten(#[source] Unavailable),
    /// The batch may have been stored.
    #[error("it is not known whether the batch was written")]
    Indeterminate(#[source] Unavailable),
}

// === impl StoredEvent ===

impl StoredEvent {
    /// An event whose id and tenant are read from its bytes. If these cannot be parsed, the id is nil and the tenant
    /// `None`.
    #[must_use]
    pub fn parse(seq: u64, body: String) -> Self {
        let Ok(EventHead { metadata }) = serde_json::from_str(&body) else {
            return Self { seq, id: EventId(Uuid::nil()), tenant: None, body };
        };
        let id = EventId(metadata.uid.as_str().parse().unwrap_or_default());
        let tenant = metadata.tenant_uid.map(Text::into_string);
        Self { seq, id, tenant, body }
    }

    /// The text for stored bytes. If they are not UTF-8, another text that says so, which is neither JSON nor
    /// the text of any event.
    #[must_use]
    pub fn text_of(bytes: &[u8]) -> String {
        let lossy = |_not_utf8| format!("{} (not UTF-8)", String::from_utf8_lossy(bytes));
        std::str::from_utf8(bytes).map_or_else(lossy, str::to_owned)
    }
}

// === impl Batch ===

impl Batch {
    /// The bytes of one event.
    #[must_use]
    pub fn body(&self, event: &EventIndexFields) -> &[u8] {
        self.bytes.get(event.start..event.start.saturating_add(event.len)).unwrap_or_default()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} events, {} bytes)", self.events.len(), self.bytes.len())
    }
}
