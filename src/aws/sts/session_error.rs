//! Why a role has no session, and the error of the call that needed one.

use std::sync::Arc;

use thiserror::Error;

use crate::{
    domain::aws::AccountId,
    ports::aws::{AwsErrorDetails, UpstreamError},
};

/// Why there is no session.
#[derive(Clone, Debug, Error)]
pub(in crate::aws) enum SessionError {
    /// STS refused the call.
    #[error("STS refused to assume the role")]
    Refused(AwsErrorDetails),
    /// STS throttled the call.
    #[error("STS throttled the call")]
    Throttled(AwsErrorDetails),
    /// STS responded with a server error.
    #[error("STS responded with a server error")]
    Fault(AwsErrorDetails),
    /// The service's own credentials are not valid.
    #[error("STS refused the service's own credentials with {}", .0.code)]
    ServiceIdentity(AwsErrorDetails),
    /// The session belongs to a different account than the role.
    #[error("STS returned a session of account {0}, which is not the role's account")]
    WrongAccount(AccountId),
    /// The session has already expired.
    #[error("STS returned credentials that have already expired")]
    Expired,
    /// The response lacks a required part.
    #[error("the response of STS lacks {0}")]
    Incomplete(&'static str),
    /// STS could not be reached, or did not respond.
    #[error("STS did not respond")]
    Unreachable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The caller's deadline passed first.
    #[error("the deadline passed before STS responded")]
    TooLate,
}

// === impl SessionError ===

impl SessionError {
    /// AWS's error code, if AWS responded with an error.
    pub(in crate::aws) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(answer)
            | Self::Throttled(answer)
            | Self::Fault(answer)
            | Self::ServiceIdentity(answer) => Some(&answer.code),
            Self::WrongAccount(_)
            | Self::Expired
            | Self::Incomplete(_)
            | Self::Unreachable(_)
            | Self::TooLate => None,
        }
    }

    /// The error of the call that needed the session, which was therefore not sent.
    pub(in crate::aws) fn upstream(self: Arc<Self>) -> UpstreamError {
        match &*self {
            Self::Refused(answer) => UpstreamError::RoleNotAssumable { answer: answer.clone() },
            Self::Throttled(answer) => UpstreamError::Throttled { answer: answer.clone() },
            Self::Fault(answer) => UpstreamError::Fault { answer: answer.clone() },
            Self::ServiceIdentity(_)
            | Self::WrongAccount(_)
            | Self::Expired
            | Self::Incomplete(_)
            | Self::Unreachable(_)
            | Self::TooLate => UpstreamError::NotSent(Box::new(self)),
        }
    }
}
