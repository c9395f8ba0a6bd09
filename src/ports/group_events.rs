//! The queue of events about new and changed log groups.

use std::{fmt, num::NonZeroU32};

use async_trait::async_trait;
use thiserror::Error;

use crate::domain::{log_group_change::LogGroupChange, time::Timestamp};

/// Receives events about log groups. A message stays in the queue until it is deleted: it comes again after
/// the visibility timeout of the queue, also to another replica.
#[async_trait]
pub trait GroupEvents: Send + Sync + 'static {
    /// Waits for messages and returns the next ones; none if none arrived in time. After a failure, the next
    /// call waits before it reaches the queue, so a caller may repeat it at once. It is safe to drop the
    /// future: the messages come again.
    ///
    /// # Errors
    ///
    /// [`GroupEventsError`] if the queue did not answer or refused.
    async fn receive(&self) -> Result<Vec<GroupMessage>, GroupEventsError>;

    /// Deletes messages. Call it after the change is recorded.
    ///
    /// # Errors
    ///
    /// [`GroupEventsError`] if a message could not be deleted. It comes again, so the caller gets its change
    /// a second time.
    async fn delete(&self, receipts: &[Receipt]) -> Result<(), GroupEventsError>;
}

/// One message of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupMessage {
    /// A change that AWS accepted.
    Change {
        /// What changed.
        change: Box<LogGroupChange>,
        /// Deletes the message.
        receipt: Receipt,
        /// When the message was sent to the queue, if the queue says so.
        sent: Option<Timestamp>,
    },
    /// An event that needs no action. Delete the message.
    Irrelevant {
        /// Why the event needs no action.
        reason: Irrelevance,
        /// Deletes the message.
        receipt: Receipt,
    },
    /// A message that cannot be read. It has no receipt, because the dead-letter queue must get it.
    Unreadable(UnreadableMessage),
}

/// Why an event needs no action.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Irrelevance {
    /// The call failed, so it changed nothing.
    #[error("the call {call} failed with {error_code}")]
    Failed {
        /// The name of the call.
        call: Box<str>,
        /// The error code of AWS.
        error_code: Box<str>,
    },
    /// The event is about something else.
    #[error("the event {name} is not about a new log group or its key")]
    OtherEvent {
        /// The source and the name of the event.
        name: Box<str>,
    },
    /// The change was delivered before, and that message was deleted.
    #[error("the event {event_id} was received before")]
    Duplicate {
        /// AWS's id of the event.
        event_id: Box<str>,
    },
}

/// A message that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableMessage {
    /// The queue's id of the message.
    pub message_id: Box<str>,
    /// How often the message was received, this time included.
    pub receive_count: Option<NonZeroU32>,
    /// What is wrong with it.
    pub reason: UnreadableEvent,
}

/// Why a message is not an event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnreadableEvent {
    /// The message has no body, or a larger one than the queue accepts.
    #[error("the body has {bytes} bytes; expected 1 to {max}")]
    Size {
        /// The size of the body.
        bytes: usize,
        /// The maximum size of a body.
        max: usize,
    },
    /// The body is not one JSON object.
    #[error(
        "the body is not a JSON object ({problem}); send EventBridge's events without an input transformer"
    )]
    NotAnObject {
        /// What the parser found.
        problem: Box<str>,
    },
    /// The body asks to confirm a subscription.
    #[error(
        "the message is {kind} of the SNS topic {topic}, not an event; confirm the subscription, or send EventBridge's events directly to the queue"
    )]
    Subscription {
        /// The type of the message.
        kind: Box<str>,
        /// The topic.
        topic: Box<str>,
    },
    /// A member is absent.
    #[error("{member} is missing; send EventBridge's events without an input transformer or input path")]
    Missing {
        /// The path of the member.
        member: &'static str,
    },
    /// A member has another type.
    #[error("{member} is not {expected}")]
    Type {
        /// The path of the member.
        member: &'static str,
        /// The type that it has in AWS's events.
        expected: &'static str,
    },
    /// A member has a value that AWS does not use.
    #[error("{member} {problem}")]
    Value {
        /// The path of the member.
        member: &'static str,
        /// What is wrong with the value.
        problem: Box<str>,
    },
    /// Two members contradict each other.
    #[error("{member} is {found}, but {other} is {expected}")]
    Contradiction {
        /// The path of the member.
        member: &'static str,
        /// Its value.
        found: Box<str>,
        /// The path of the other member.
        other: &'static str,
        /// The value of the other member.
        expected: Box<str>,
    },
}

/// Permission to delete one event from the queue. Only the queue makes one, and none for an unreadable message.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What the queue needs to delete each message of the event.
    pub(crate) handles: Vec<Box<str>>,
    /// The change that is recorded when the messages are deleted.
    pub(crate) event_id: Option<Box<str>>,
}

/// Why the queue cannot be used.
#[derive(Debug, Error)]
pub enum GroupEventsError {
    /// The queue throttles.
    #[error("the event queue throttles")]
    Throttled(#[source] Cause),
    /// The queue does not exist, or the service may not use it.
    #[error(
        "the event queue refuses the service; check fleet.events.queue_url and the policy of the service role"
    )]
    Refused(#[source] Cause),
    /// The queue did not answer, or with an error.
    #[error("the event queue is unavailable")]
    Unavailable(#[source] Cause),
    /// The queue kept some of the messages.
    #[error("{count} messages of the event queue were not deleted")]
    NotDeleted {
        /// How many messages remain.
        count: usize,
    },
}

/// The underlying cause of an error.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

// === impl Irrelevance ===

impl Irrelevance {
    /// The reason as a label for logs and metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Failed { .. } => "failed_call",
            Self::OtherEvent { .. } => "other_event",
            Self::Duplicate { .. } => "duplicate",
        }
    }
}

// === impl Receipt ===

impl Receipt {
    /// How many messages of the queue carry the event.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.handles.len()
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("messages", &self.handles.len())
            .field("event_id", &self.event_id)
            .finish_non_exhaustive()
    }
}

// === impl GroupEventsError ===

impl GroupEventsError {
    /// Every label.
    pub const LABELS: [&str; 4] = ["throttled", "refused", "unavailable", "not_deleted"];

    /// The cause as a label for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Throttled(_) => "throttled",
            Self::Refused(_) => "refused",
            Self::Unavailable(_) => "unavailable",
            Self::NotDeleted { .. } => "not_deleted",
        }
    }
}
