//! The audit log, its signed tree, and the changes whose outcome is not known.

use async_trait::async_trait;
use thiserror::Error;

use super::unavailable::Unavailable;
use crate::domain::{
    audit::{Event, EventId, JournalEntry, ReconciliationResult},
    call::RequestId,
    tenant::TenantId,
    time::Timestamp,
};

/// Records audit events durably.
#[async_trait]
pub trait AuditLog: Send + Sync + 'static {
    /// Stores an entry. The entry is durable when this returns. Do not cancel the future: a caller that stops
    /// waiting does not know whether the entry was stored.
    ///
    /// # Errors
    ///
    /// [`AuditUnavailable`] if it is certain that the entry was not stored.
    async fn commit(&self, entry: JournalEntry) -> Result<EventId, AuditUnavailable>;

    /// Stores an event that no caller waits for: a read or a refusal. Above a maximum rate, equal refusals
    /// are combined into one event with a count.
    fn record_best_effort(&self, event: Event);

    /// Why events cannot be stored now. `None` if they can.
    fn not_ready_reason(&self) -> Option<String>;
}

/// The signed part of the tree over the log, with which an auditor can verify the log.
#[async_trait]
pub trait AuditTree: Send + Sync + 'static {
    /// The newest signed checkpoint.
    async fn newest(&self) -> Result<SignedTree, Unavailable>;

    /// The hashes that prove the inclusion of the event with this sequence number (from 1) in the tree of
    /// this size. The tree contains the event and is not larger than the newest checkpoint.
    async fn inclusion(&self, seq: u64, size: u64) -> Result<Vec<LeafHash>, Unavailable>;

    /// The hashes that prove that the tree of size `from` is a prefix of the tree of size `to`, which is not
    /// larger than the newest checkpoint.
    async fn consistency(&self, from: u64, to: u64) -> Result<Vec<LeafHash>, Unavailable>;

    /// The leaf hash of an event's bytes.
    fn leaf(&self, body: &[u8]) -> LeafHash;

    /// The verifier keys of the current signing keys, in the format of signed notes. During a key rotation
    /// the first one is the key that stays.
    fn verifiers(&self) -> Vec<String>;

    /// Waits until the newest checkpoint covers more than this many events, and returns its size.
    async fn wait_for_size(&self, beyond: u64) -> u64;
}

/// A SHA-256 hash in the log's tree.
pub type LeafHash = [u8; 32];

/// A parsed signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTree {
    /// The number of events that it covers.
    pub size: u64,
    /// The root hash of their tree.
    pub root: LeafHash,
    /// The time of the signature.
    pub time: Timestamp,
    /// The checkpoint as a signed note.
    pub note: String,
}

/// A change whose outcome is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingChange {
    /// The id of its intent, which the reconciliation closes.
    pub intent: EventId,
    /// The event of the intent. The reconciliation event is a copy with another kind, time and `closes`.
    pub event: Event,
}

/// A change by its request id, with its outcome if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedChange {
    /// The intent.
    pub change: PendingChange,
    /// The outcome, if one is recorded.
    pub outcome: Option<RecordedOutcome>,
}

/// The recorded outcome of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedOutcome {
    /// The event of the outcome.
    pub event: EventId,
    /// Why the change failed. `None` if it succeeded.
    pub failure: Option<Box<str>>,
    /// What the event says about the failure, for people.
    pub detail: Option<Box<str>>,
}

/// Reads the changes that a crash or a missing response left without an outcome.
#[async_trait]
pub trait PendingChanges: Send + Sync + 'static {
    /// The open changes with an intent before this time, which is the start of the process for what an earlier
    /// run left open.
    async fn list_pending(&self, before: Timestamp) -> Result<Vec<PendingChange>, Unavailable>;

    /// The change of this intent, open or not. `None` if the log has no such intent.
    async fn find(&self, intent: EventId) -> Result<Option<PendingChange>, Unavailable>;

    /// The change that a call of this tenant with this request id made. `None` if it has no intent.
    async fn by_request_id(
        &self,
        tenant: &TenantId,
        id: &RequestId,
    ) -> Result<Option<RecordedChange>, Unavailable>;

    /// The result of a change's reconciliation with its event. `None` if the change was not reconciled.
    async fn reconciliation_of(
        &self,
        change: &PendingChange,
    ) -> Result<Option<(ReconciliationResult, EventId)>, Unavailable>;
}

/// The audit log cannot store the entry.
#[derive(Debug, Error)]
#[error("the audit log cannot be written")]
pub struct AuditUnavailable(#[source] pub Option<Box<dyn std::error::Error + Send + Sync>>);
