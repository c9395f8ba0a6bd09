//! Requests with an idempotency key, which a caller can repeat safely (AIP-155). The journal writes each step
//! of such a request together with its audit event.

use std::{fmt, time::Duration};

use uuid::Uuid;

use super::{audit::id::EventId, tenant::TenantId, time::Timestamp};

/// How long the service keeps the record of a request.
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_hours(24);

/// The idempotency key of a request. It is unique within the caller's tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// The caller's tenant.
    pub tenant: TenantId,
    /// The `request_id` of the request.
    pub id: Uuid,
}

/// The SHA-256 of what a request asks for. It distinguishes a repetition from a different request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub Box<str>);

/// A step of a request, which the store records together with the audit event of the step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedStep {
    /// The event is the intent of the request.
    Intent {
        /// The idempotency key of the request.
        id: IdempotencyKey,
        /// What the request asks for.
        fingerprint: Fingerprint,
        /// When the request began. The store then deletes records that are older than [`IDEMPOTENCY_WINDOW`].
        at: Timestamp,
        /// When the request has ended at the latest, whatever happens.
        running_until: Timestamp,
    },
    /// The event is the outcome of the request.
    Outcome {
        /// The intent of the request.
        intent: EventId,
        /// How the request ended.
        end: RequestOutcome,
    },
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// It succeeded. A repetition gets the same response.
    Completed(Answer),
    /// AWS refused it. A repetition gets the same response.
    Refused(Answer),
    /// It was sent and AWS did not respond. The service reads the state back before it sends the request
    /// again.
    Unknown,
    /// It did not reach AWS, or AWS did not process it. The service can send it again.
    Open,
}

/// The recorded response, in an encoding that only the use cases read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(pub Box<str>);

/// The stored record of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// What the request asks for.
    pub fingerprint: Fingerprint,
    /// The intent of the request.
    pub intent: EventId,
    /// The outcome event, if the request has ended.
    pub outcome: Option<EventId>,
    /// When the request has ended at the latest.
    pub running_until: Timestamp,
    /// How the request ended. `None` if that is not recorded.
    pub end: Option<RequestOutcome>,
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.as_hyphenated().fmt(f)
    }
}
