//! Errors of a change of an association.

use thiserror::Error;

use crate::domain::{arn::KmsKeyArn, audit::EventId, reason::Reason};

/// Why a change was not made, or why its outcome is uncertain.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// The current key is not the one that the caller expects. Nothing was sent to AWS.
    #[error("the current key is not the expected one")]
    ExpectedKeyMismatch {
        /// The current key. `None` is the AWS-owned default.
        current_key: Option<KmsKeyArn>,
    },
    /// This service was making another change of the resource until the deadline. Nothing was sent to AWS.
    #[error("another change of the resource is in flight")]
    ResourceLocked,
    /// A different request used the same idempotency key before.
    #[error("the request id belongs to a different request")]
    RequestIdReused,
    /// The first request with the same idempotency key was in flight until the deadline.
    #[error("the first request with this request id is in flight")]
    RequestInFlight,
    /// AWS made the change, but the audit log has not accepted its outcome yet.
    #[error("AWS made the change, but its outcome is not in the audit log yet")]
    OutcomeNotRecorded {
        /// AWS's request id of the call.
        aws_request_id: Option<Box<str>>,
    },
    /// The change was sent to AWS, but its outcome is unknown, because no usable response came in time.
    #[error("the change was sent to AWS, but its outcome is unknown")]
    OutcomeUnknown {
        /// The audit event with the unknown outcome, if it is recorded.
        event: Option<EventId>,
        /// The transport error, if there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

// === impl ChangeError ===

impl ChangeError {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::ExpectedKeyMismatch { .. } => Reason::ExpectedKeyMismatch,
            Self::ResourceLocked | Self::RequestInFlight => Reason::ConflictingChange,
            Self::RequestIdReused => Reason::RequestIdReused,
            Self::OutcomeNotRecorded { .. } => Reason::AuditUnavailable,
            Self::OutcomeUnknown { .. } => Reason::OutcomeUnknown,
        }
    }
}
