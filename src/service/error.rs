//! The errors of the use cases, one enum for each concern. `server::grpc::status` maps them to gRPC codes and
//! messages; [`Error::reason`] is the stable reason that callers and the audit log get.

mod access;
mod aws_call;
mod change;
mod fleet;
mod request;
mod storage;

use thiserror::Error as ThisError;

pub use self::{
    access::AccessError,
    aws_call::{AwsCallError, Repetition},
    change::ChangeError,
    fleet::FleetError,
    request::RequestError,
    storage::StorageError,
};
use super::audit::error::ReadError;
use crate::{
    domain::{audit::EventId, reason::Reason},
    ports::aws::AwsErrorDetails,
};

/// Why a use case failed.
///
/// None of these enums is `#[non_exhaustive]`: a new variant must break the build of `server::grpc::status`
/// until it has a code and a message.
#[derive(Debug, ThisError)]
#[expect(clippy::error_impl_error, reason = "always written `service::Error`")]
pub enum Error {
    /// The caller may not make the call.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A value in the request cannot be used.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A call to AWS failed, or was not sent in time.
    #[error(transparent)]
    Aws(#[from] AwsCallError),
    /// A change was not made, or its outcome is uncertain.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A call for a bulk job failed.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The store could not be written or read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A read of the audit log failed.
    #[error(transparent)]
    AuditRead(#[from] ReadError),
    /// The change failed or its outcome is unknown, and the audit log has not accepted the outcome yet.
    #[error("the outcome of the change is not in the audit log yet")]
    FailureNotRecorded {
        /// How the change ended.
        #[source]
        error: Box<Self>,
    },
    /// The replay of a refusal: AWS refused the first request with the same idempotency key.
    #[error("AWS refused the first request with this request id")]
    ReplayedFailure {
        /// Why AWS refused the first request.
        #[source]
        error: Box<Self>,
        /// The audit event with the outcome of the first request.
        event: EventId,
    },
    /// A defect of this service.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

// === impl Error ===

impl Error {
    /// The stable reason that the caller and the audit log see.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Access(error) => error.reason(),
            Self::Request(error) => error.reason(),
            Self::Aws(error) => error.reason(),
            Self::Change(error) => error.reason(),
            Self::Fleet(error) => error.reason(),
            Self::Storage(error) => error.reason(),
            Self::AuditRead(error) => error.reason(),
            Self::ReplayedFailure { error, .. } | Self::FailureNotRecorded { error } => error.reason(),
            Self::Internal(_) => Reason::Internal,
        }
    }

    /// AWS's code and message, if the error comes from a response of AWS.
    #[must_use]
    pub fn aws_answer(&self) -> Option<&AwsErrorDetails> {
        match self {
            Self::Aws(error) => error.answer(),
            Self::ReplayedFailure { error, .. } | Self::FailureNotRecorded { error } => error.aws_answer(),
            Self::Access(_)
            | Self::Request(_)
            | Self::Change(_)
            | Self::Fleet(_)
            | Self::Storage(_)
            | Self::AuditRead(_)
            | Self::Internal(_) => None,
        }
    }
}
