//! Why a role has no session, and the error of the call that needed one.

use std::sync::Arc;

use thiserror::Error;

use crate::{
    domain::{
        aws::AccountId,
        refusal::{AssumeRoleRefusal, ServiceFault},
    },
    ports::aws::{AwsErrorDetails, UpstreamError},
};

/// Why there is no session.
#[derive(Clone, Debug, Error)]
pub(in crate::aws) enum SessionError {
    /// STS refused the call, and the tenant can change that.
    #[error("STS refused to assume the role: {}", .answer.message)]
    Refused { refusal: AssumeRoleRefusal, answer: AwsErrorDetails },
    /// STS refused the call, and only the operator can change that.
    #[error("{fault} ({}: {})", .answer.code, .answer.message)]
    Misconfigured { fault: ServiceFault, answer: AwsErrorDetails },
    /// The service has no credentials to call STS with.
    #[error("{fault}")]
    NoCredentials {
        fault: ServiceFault,
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// STS throttled the call.
    #[error("STS throttled the call")]
    Throttled(AwsErrorDetails),
    /// STS responded with a server error.
    #[error("STS responded with a server error")]
    Fault(AwsErrorDetails),
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
            Self::Refused { answer, .. }
            | Self::Misconfigured { answer, .. }
            | Self::Throttled(answer)
            | Self::Fault(answer) => Some(&answer.code),
            Self::NoCredentials { .. }
            | Self::WrongAccount(_)
            | Self::Expired
            | Self::Incomplete(_)
            | Self::Unreachable(_)
            | Self::TooLate => None,
        }
    }

    /// The fault of the service itself, if that is the cause.
    pub(in crate::aws) fn service_fault(&self) -> Option<ServiceFault> {
        match self {
            Self::Misconfigured { fault, .. } | Self::NoCredentials { fault, .. } => Some(*fault),
            Self::Refused { .. }
            | Self::Throttled(_)
            | Self::Fault(_)
            | Self::WrongAccount(_)
            | Self::Expired
            | Self::Incomplete(_)
            | Self::Unreachable(_)
            | Self::TooLate => None,
        }
    }

    /// The error of the call that needed the session, which was therefore not sent.
    pub(in crate::aws) fn upstream(self: Arc<Self>) -> UpstreamError {
        match &*self {
            Self::Refused { refusal, answer } => {
                UpstreamError::RoleNotAssumable { refusal: *refusal, answer: answer.clone() }
            }
            Self::Misconfigured { fault, answer } => {
                UpstreamError::ServiceMisconfigured { fault: *fault, answer: answer.clone() }
            }
            Self::NoCredentials { fault, .. } => {
                UpstreamError::ServiceMisconfigured { fault: *fault, answer: AwsErrorDetails::default() }
            }
            Self::Throttled(answer) => UpstreamError::StsThrottled { answer: answer.clone() },
            Self::Fault(_)
            | Self::WrongAccount(_)
            | Self::Expired
            | Self::Incomplete(_)
            | Self::Unreachable(_)
            | Self::TooLate => UpstreamError::NotSent(Box::new(self)),
        }
    }
}
