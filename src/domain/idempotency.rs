//! Requests that came with an id of their own, so that repeating them is safe (AIP-155).

use std::{fmt, time::Duration};

use uuid::Uuid;

use super::{audit::EventId, tenant::TenantId, time::Timestamp};

/// How long a request is remembered.
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_hours(24);

/// The id that a caller gave to a request; it belongs to the caller's tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// The id.
    pub id: Uuid,
}

/// What was asked for, as a hash: equal for equal requests only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub Box<str>);

/// What becomes of a request, to be kept together with the event that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedStep {
    /// The event is the intent under which it is begun.
    Intent {
        /// Its id.
        id: IdempotencyKey,
        /// What was asked for.
        fingerprint: Fingerprint,
        /// When it was begun; what is older than [`REMEMBERED`] then is forgotten.
        at: Timestamp,
        /// When it cannot be under way any more, whatever happened.
        running_until: Timestamp,
    },
    /// The event says how it ended.
    Outcome {
        /// The intent under which it was begun.
        intent: EventId,
        /// How.
        end: RequestOutcome,
    },
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// With success: it is answered in the same way again.
    Completed(Answer),
    /// AWS refused it: it is answered in the same way again.
    Refused(Answer),
    /// It was sent and no answer came: what became of it is read back before it is sent again.
    Unknown,
    /// It did not reach AWS, or AWS did not take it up: it may be tried again.
    Open,
}

/// What a caller was told, in a form that only the use cases read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(pub Box<str>);

/// A request as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// What was asked for.
    pub fingerprint: Fingerprint,
    /// The intent under which it was begun.
    pub intent: EventId,
    /// The event that says how it ended.
    pub outcome: Option<EventId>,
    /// When it cannot be under way any more.
    pub running_until: Timestamp,
    /// How it ended; none where that is not recorded.
    pub end: Option<RequestOutcome>,
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.as_hyphenated().fmt(f)
    }
}
