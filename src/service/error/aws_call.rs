//! Errors of a call to AWS, or of waiting to send it.

use std::time::Duration;

use thiserror::Error;

use crate::{
    domain::{diagnosis::Check, reason::Reason},
    ports::aws::{AwsErrorDetails, Refusal},
};

/// Why AWS did not do what the call asks for.
#[derive(Debug, Error)]
pub enum AwsCallError {
    /// AWS refused the call.
    #[error("AWS refused the call")]
    Refused {
        /// The meaning of the refusal.
        refusal: Refusal,
        /// AWS's code and message.
        answer: AwsErrorDetails,
    },
    /// A check found the cause: AWS refused the call, or would refuse it.
    #[error("a check found the cause of the failure")]
    Diagnosed {
        /// The check that failed.
        cause: Box<Check>,
        /// AWS's code and message. Empty if AWS refused nothing.
        answer: AwsErrorDetails,
    },
    /// The service cannot assume the tenant's role.
    #[error("the role cannot be assumed")]
    RoleNotAssumable {
        /// The code and message of STS.
        answer: AwsErrorDetails,
    },
    /// AWS was processing another change of the resource until the deadline.
    #[error("AWS is processing another change of the resource")]
    Conflict {
        /// AWS's code and message.
        answer: AwsErrorDetails,
    },
    /// The upstream limiter has no permit before the deadline. Nothing was sent to AWS.
    #[error("AWS's quota allows no call before the deadline")]
    BudgetExhausted {
        /// The time until the limiter could have a permit.
        retry_after: Duration,
    },
    /// AWS throttled the call until the deadline.
    #[error("AWS throttled the call until the deadline")]
    Throttled {
        /// The time after which a retry makes sense.
        retry_after: Duration,
        /// AWS's code and message.
        answer: AwsErrorDetails,
    },
    /// AWS is not reachable, or responded with a server error.
    #[error("AWS is unavailable")]
    Unavailable {
        /// AWS's code and message, if a response came.
        answer: Option<AwsErrorDetails>,
        /// The transport error, if no response came.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The deadline passed before the service sent the call to AWS.
    #[error("the deadline passed before anything was sent to AWS")]
    DeadlineBeforeAws,
}

// === impl AwsCallError ===

impl AwsCallError {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Refused { refusal, .. } => refusal_reason(*refusal),
            Self::Diagnosed { cause, .. } => cause.reason().unwrap_or(Reason::KeyNotUsable),
            Self::RoleNotAssumable { .. } => Reason::RoleNotAssumable,
            Self::Conflict { .. } => Reason::ConflictingChange,
            Self::BudgetExhausted { .. } => Reason::AccountBudgetExhausted,
            Self::Throttled { .. } => Reason::AwsThrottled,
            Self::Unavailable { .. } => Reason::AwsUnavailable,
            Self::DeadlineBeforeAws => Reason::DeadlineBeforeAws,
        }
    }

    pub(super) fn answer(&self) -> Option<&AwsErrorDetails> {
        match self {
            Self::Refused { answer, .. }
            | Self::Diagnosed { answer, .. }
            | Self::RoleNotAssumable { answer }
            | Self::Conflict { answer }
            | Self::Throttled { answer, .. } => Some(answer),
            Self::Unavailable { answer, .. } => answer.as_ref(),
            Self::BudgetExhausted { .. } | Self::DeadlineBeforeAws => None,
        }
    }
}

fn refusal_reason(refusal: Refusal) -> Reason {
    match refusal {
        Refusal::LogGroupNotFound => Reason::LogGroupNotFound,
        Refusal::LogGroupReserved => Reason::LogGroupReserved,
        // Only if the refusal is not explained (`Diagnosed`). The key's policy is by far the most frequent
        // cause; AWS returns the same message if the key does not exist.
        Refusal::KeyMissingOrNotAllowed => Reason::KeyPolicyLacksLogsService,
        Refusal::KeyNotFound => Reason::KeyNotFound,
        Refusal::KeyDisabled => Reason::KeyDisabled,
        Refusal::KeyPendingDeletion => Reason::KeyPendingDeletion,
        Refusal::KeyNotSymmetric => Reason::KeyNotSymmetric,
        Refusal::RoleLacksKms => Reason::RoleLacksKmsPermission,
        Refusal::RoleLacksLogs => Reason::RoleLacksLogsPermission,
        Refusal::Organization => Reason::DeniedByOrganization,
        Refusal::Parameter | Refusal::Other => Reason::KeyNotUsable,
    }
}
