//! The durable store as the audit log needs it: appended to in batches, read in order.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use thiserror::Error;

use super::Unavailable;
use crate::domain::{
    association::RecordedAssociation, audit::EventId, aws::AccountId, call::RequestId, history::Observation,
    idempotency::RecordedStep, tenant::TenantId, time::Timestamp,
};

/// What is kept together, or not at all.
#[derive(Clone, Default)]
pub struct Batch {
    /// The events, in order.
    pub events: Vec<EventIndexFields>,
    /// The bytes of all events, one after the other.
    pub bytes: Vec<u8>,
    /// The associations that became true with them, in order.
    pub associations: Vec<RecordedAssociation>,
    /// What was seen before changes, in order.
    pub observations: Vec<Observation>,
    /// What becomes of requests with an id of their own, in order, each with its event.
    pub requests: Vec<(EventId, RecordedStep)>,
}

/// By what one event is found, and where its bytes are.
#[derive(Clone, Debug)]
pub struct EventIndexFields {
    /// Its id.
    pub id: EventId,
    /// When it happened.
    pub time: Timestamp,
    /// Whose it is.
    pub tenant: Option<TenantId>,
    /// Which part of a call it records.
    pub kind: &'static str,
    /// What was done.
    pub action: &'static str,
    /// In which account.
    pub account: Option<AccountId>,
    /// Ties the events of one call together.
    pub correlation: RequestId,
    /// `OK`, or the reason of a failure; none where it has not ended.
    pub outcome: Option<&'static str>,
    /// The intent that it closes.
    pub closes: Option<EventId>,
    /// Where its bytes start in [`Batch::bytes`].
    pub start: usize,
    /// How many there are.
    pub len: usize,
}

/// An event as it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the log, from 1, without gaps.
    pub seq: u64,
    /// Its id.
    pub id: EventId,
    /// Whose it is, as the store finds it.
    pub tenant: Option<String>,
    /// The bytes: one JSON object on one line. What is verified is what is shown.
    pub body: String,
}

/// An event, and what of that by which the store finds it says something else than its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexCheckedEvent {
    /// The event.
    pub event: StoredEvent,
    /// What differs; empty where all agrees.
    pub mismatches: Vec<&'static str>,
}

/// Which events to read; what is none is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventFilter {
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// With this action.
    pub action: Option<String>,
    /// With this outcome: `OK` or the reason of a failure.
    pub outcome: Option<String>,
    /// Of this call.
    pub correlation: Option<String>,
    /// By this subject.
    pub subject: Option<String>,
    /// About the resource with this ARN.
    pub resource: Option<String>,
    /// After this place in the log.
    pub after: Option<u64>,
}

/// Appends to the log. One writer at a time.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Keeps the batch; when this returns, it is durable. Not to be cancelled. Tells the place in the log of
    /// its first event, where the store knows that without asking; the others follow it without a gap.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; after one, nothing is appended before [`EventStore::recover`] succeeded.
    async fn append(&self, batch: Arc<Batch>) -> Result<Option<u64>, AppendError>;

    /// Begins anew after an error: whatever can be read is made durable and a write is tried. Tells
    /// whether `doubtful` is among what was kept.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] where that does not succeed yet; to be tried again later.
    async fn recover(&self, doubtful: Option<EventId>) -> Result<bool, Unavailable>;
}

/// Reads the log.
#[async_trait]
pub trait EventReader: Send + Sync + 'static {
    /// Events that fit the filter, newest first, at most `limit`, only those before `before`.
    async fn list(
        &self,
        filter: &EventFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable>;

    /// Events that fit the filter, up to and with the place `through`, oldest first, at most `limit`.
    async fn next(
        &self,
        filter: &EventFilter,
        through: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable>;

    /// Events after a place in the log, oldest first, at most `limit`.
    async fn after(&self, seq: u64, limit: u32) -> Result<Vec<StoredEvent>, Unavailable>;

    /// The same, each held against that by which the store finds it.
    async fn index_check(&self, seq: u64, limit: u32) -> Result<Vec<IndexCheckedEvent>, Unavailable>;

    /// The intents from before a time whose end is not known: without an outcome, or with one that
    /// says so, and not settled. Oldest first.
    async fn open_intents(&self, before: Timestamp) -> Result<Vec<StoredEvent>, Unavailable>;

    /// The event with this id.
    async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable>;
}

/// One tile of the log's tree (C2SP tlog-tiles): up to 256 hashes of 32 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Its level; 0 holds the hashes of events.
    pub level: u8,
    /// Its place in the level.
    pub index: u64,
    /// The hashes, one after the other.
    pub hashes: Vec<u8>,
}

/// The tree's newest signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// How many events it covers.
    pub size: u64,
    /// When it was signed.
    pub time: Timestamp,
    /// The signed note.
    pub note: String,
    /// Whether it hands over from one key to the next, being signed by both: then it is kept for ever.
    pub handover: bool,
}

/// Whether this process is the one that makes the tree grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeadershipStatus {
    /// Another one does.
    Follower,
    /// This one, from now on: what it knew of the tree may be old.
    Acquired,
    /// This one, as before.
    Held,
}

/// Which of the processes on one store does what only one may do.
pub trait Leadership: Send + Sync + 'static {
    /// Whether it is this one.
    fn is_leader(&self) -> bool;

    /// Whether there can be no other: then nobody is at what was begun before this process was.
    fn is_single_node(&self) -> bool;
}

/// The tree over the log. One process at a time makes it grow.
#[async_trait]
pub trait TreeStore: Send + Sync + 'static {
    /// Asks to be the process that makes it grow; to be asked before each time, and often enough. Where
    /// there can be no other, it is this one.
    async fn lead(&self) -> Result<LeadershipStatus, Unavailable> {
        Ok(LeadershipStatus::Held)
    }

    /// The newest checkpoint, if there is one.
    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable>;

    /// The checkpoints that hand over from one key to the next, the smallest first.
    async fn key_rotations(&self) -> Result<Vec<SignedCheckpoint>, Unavailable>;

    /// The tiles with these levels and places, as far as they are there.
    async fn tiles(&self, tile_ids: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable>;

    /// Keeps new and longer tiles together with the checkpoint that covers them.
    async fn grow(&self, tiles: &[Tile], checkpoint: &SignedCheckpoint) -> Result<(), Unavailable>;
}

/// Lets go of events that were moved out to an archive.
#[async_trait]
pub trait ArchivedEvents: Send + Sync + 'static {
    /// Up to which place everything else that reads the log in order has it; none where nothing does.
    async fn read_through(&self) -> Result<Option<u64>, Unavailable>;

    /// Removes the events up to and with this place, the oldest first; the tree over them stays. Done by
    /// and by, so that writing goes on meanwhile; what an interruption leaves is removed next time.
    async fn remove_through(&self, seq: u64) -> Result<(), Unavailable>;
}

/// A batch was not kept, or that is not known.
#[derive(Debug, Error)]
pub enum AppendError {
    /// It is certain that nothing of it was kept.
    #[error("nothing was written")]
    NotWritten(#[source] Unavailable),
    /// It may have been kept.
    #[error("it is not known what was written")]
    Indeterminate(#[source] Unavailable),
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
