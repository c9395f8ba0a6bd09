//! The items of a bulk job: one change of one resource each.

use serde::{Deserialize, Serialize};

use super::job_id::JobId;
use crate::domain::{arn::KmsKeyArn, association::Resource, audit::EventId, reason::Reason, time::Timestamp};

/// The state of an item. The store keeps the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemState {
    /// The plan found that the change would fail.
    Blocked = 1,
    /// The item waits for its turn.
    Waiting = 2,
    /// The item is being changed.
    Running = 3,
    /// AWS made the change.
    Succeeded = 4,
    /// The resource had the key already; nothing was sent.
    Unchanged = 5,
    /// The change failed.
    Failed = 6,
    /// The change was sent, and its outcome is unknown.
    Unknown = 7,
    /// The key of the resource changed since the plan; nothing was sent.
    Skipped = 8,
}

/// An item of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key of the item.
    pub key: ItemKey,
    /// The resource to change.
    pub resource: Resource,
    /// The item's state.
    pub state: ItemState,
    /// The key to set. `None` removes the key.
    pub new_key: Option<KmsKeyArn>,
    /// The key that the resource had when the job was planned. `None` is the AWS-owned default.
    pub previous_key: Option<KmsKeyArn>,
    /// Why the item is blocked, failed, unknown or skipped.
    pub failure: Option<Failure>,
    /// The audit event with the outcome of the change.
    pub event: Option<EventId>,
    /// How often the change was started.
    pub attempts: u32,
    /// When the item ended.
    pub ended: Option<Timestamp>,
}

/// The position of an item: items are ordered by job, location and sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemKey {
    /// The job.
    pub job: JobId,
    /// The number of the location in the job, from 0.
    pub location: u32,
    /// The number of the item in its location, from 0.
    pub seq: u32,
}

/// An item as the plan makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedItem {
    /// The resource to change.
    pub resource: Resource,
    /// [`ItemState::Waiting`], [`ItemState::Blocked`] or [`ItemState::Unchanged`].
    pub state: ItemState,
    /// The key to set, if it is not the one of the location.
    pub own_key: Option<KmsKeyArn>,
    /// The current key.
    pub previous_key: Option<KmsKeyArn>,
    /// Why the item is blocked.
    pub failure: Option<Failure>,
}

/// The end of an item's run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemEnd {
    /// The item.
    pub key: ItemKey,
    /// The new state. [`ItemState::Waiting`] returns the item to the queue.
    pub state: ItemState,
    /// Why the change failed or was skipped.
    pub failure: Option<Failure>,
    /// The audit event with the outcome.
    pub event: Option<EventId>,
    /// The time of the end.
    pub ended: Timestamp,
}

/// Why something failed, as the caller of a single change would get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable reason.
    pub reason: Box<str>,
    /// The message for people: what is wrong and what to do.
    pub message: Box<str>,
    /// The JSON policy statement to add, if adding one is the remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy_document: Option<Box<str>>,
}

// === impl ItemState ===

impl ItemState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Blocked,
        Self::Waiting,
        Self::Running,
        Self::Succeeded,
        Self::Unchanged,
        Self::Failed,
        Self::Unknown,
        Self::Skipped,
    ];

    /// The number in the store.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The state with this number in the store.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// The name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }
}

// === impl Failure ===

impl Failure {
    /// A failure with a message and no remedy document.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<Box<str>>) -> Self {
        Self { reason: reason.as_str().into(), message: message.into(), remedy_document: None }
    }
}
