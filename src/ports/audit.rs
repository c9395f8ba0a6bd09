//! The audit log, and the changes in it whose end is not known.

use async_trait::async_trait;
use thiserror::Error;

use super::Unavailable;
use crate::domain::{
    audit::{Event, EventId, JournalEntry, Settlement},
    time::Timestamp,
};

/// Keeps events so that they survive whatever happens next.
#[async_trait]
pub trait AuditLog: Send + Sync + 'static {
    /// Keeps an entry; when this returns, it is durable. Not to be cancelled: whoever stops waiting
    /// does not know whether it was kept.
    ///
    /// # Errors
    ///
    /// [`AuditUnavailable`] where it is certain that the entry was not kept.
    async fn commit(&self, entry: JournalEntry) -> Result<EventId, AuditUnavailable>;

    /// Keeps an event that nobody waits for: a read or a refusal. Bounded: beyond a rate, equal
    /// refusals are counted.
    fn record_best_effort(&self, event: Event);

    /// Whether events can be kept now; otherwise why not.
    fn not_ready_reason(&self) -> Option<String>;
}

/// The tree over the log, as far as it is signed: what anyone can hold it against.
#[async_trait]
pub trait AuditTree: Send + Sync + 'static {
    /// The newest signed checkpoint.
    async fn newest(&self) -> Result<SignedTree, Unavailable>;

    /// The hashes that lead from the event at this place (from 1) to the root of the tree of this size,
    /// which is that of the newest checkpoint or smaller, and holds the event.
    async fn inclusion(&self, seq: u64, size: u64) -> Result<Vec<LeafHash>, Unavailable>;

    /// The hashes that show the tree of size `from` to be the beginning of the one of size `to`, which
    /// is that of the newest checkpoint or smaller.
    async fn consistency(&self, from: u64, to: u64) -> Result<Vec<LeafHash>, Unavailable>;

    /// The hash of the leaf that an event's bytes are.
    fn leaf(&self, body: &[u8]) -> LeafHash;

    /// The keys that sign now, as verifier keys of signed notes; the first one stays.
    fn verifiers(&self) -> Vec<String>;

    /// Waits until the newest checkpoint covers more than this many events, and tells how many.
    async fn wait_for_size(&self, beyond: u64) -> u64;
}

/// A hash in the log's tree: SHA-256.
pub type LeafHash = [u8; 32];

/// A signed checkpoint, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTree {
    /// How many events it covers.
    pub size: u64,
    /// The root of their tree.
    pub root: LeafHash,
    /// When it was signed.
    pub time: Timestamp,
    /// The signed note.
    pub note: String,
}

/// A change whose end is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingChange {
    /// Its intent, which the settlement closes.
    pub intent: EventId,
    /// What the intent said: a settlement is this event with another kind, time and `closes`.
    pub event: Event,
}

/// The changes that a crash, or an answer that never came, left open.
#[async_trait]
pub trait PendingChanges: Send + Sync + 'static {
    /// Those whose intent is from before a time: at the start, the start; later, long enough ago that
    /// no call can still be under way.
    async fn list_pending(&self, before: Timestamp) -> Result<Vec<PendingChange>, Unavailable>;

    /// The change that this intent began, open or not; none where the log has no such intent.
    async fn find(&self, intent: EventId) -> Result<Option<PendingChange>, Unavailable>;

    /// How a change was settled, and by which event; none where it was not.
    async fn reconciliation_of(
        &self,
        change: &PendingChange,
    ) -> Result<Option<(Settlement, EventId)>, Unavailable>;
}

/// The audit log cannot take the entry.
#[derive(Debug, Error)]
#[error("the audit log cannot be written")]
pub struct AuditUnavailable(#[source] pub Option<Box<dyn std::error::Error + Send + Sync>>);
