//! Errors of a call to AWS, or of waiting to send it.

use std::time::Duration;

use thiserror::Error;

use crate::{
    domain::{
        association::Location,
        diagnosis::{self, Check},
        reason::Reason,
        refusal::{AssumeRoleRefusal, ServiceFault},
    },
    ports::aws::{AwsErrorDetails, Refusal},
    service::aws_message::aws_message,
};

/// Whether the same request can succeed later although nobody changes anything for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// The cause is known and stays until somebody removes it. The refusal is recorded for the idempotency
    /// key.
    Futile,
    /// The cause may pass by itself. The same request with the same idempotency key is sent again.
    Possible,
    /// No check found a cause, so AWS has probably not applied a recent change yet. The service retries within
    /// the deadline.
    Advised,
}

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
        /// Whether the same request can succeed later.
        repetition: Repetition,
    },
    /// The service cannot assume the tenant's role.
    #[error("the role cannot be assumed")]
    RoleNotAssumable {
        /// What the refusal of STS means.
        refusal: AssumeRoleRefusal,
        /// The code and message of STS.
        answer: AwsErrorDetails,
    },
    /// AWS does not serve this service itself. AWS's message is in the log, because it shows how the service
    /// is set up.
    #[error("{fault}")]
    ServiceMisconfigured {
        /// What is wrong.
        fault: ServiceFault,
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
    /// STS throttled the calls that assume the role.
    #[error("STS throttled the calls that assume the role")]
    StsThrottled {
        /// The code and message of STS.
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
            Self::RoleNotAssumable { refusal, .. } => refusal.reason(),
            Self::ServiceMisconfigured { .. } => Reason::ServiceMisconfigured,
            Self::Conflict { .. } => Reason::ConflictingChange,
            Self::BudgetExhausted { .. } => Reason::AccountBudgetExhausted,
            Self::Throttled { .. } | Self::StsThrottled { .. } => Reason::AwsThrottled,
            Self::Unavailable { .. } => Reason::AwsUnavailable,
            Self::DeadlineBeforeAws => Reason::DeadlineBeforeAws,
        }
    }

    pub(super) fn answer(&self) -> Option<&AwsErrorDetails> {
        match self {
            Self::Refused { answer, .. }
            | Self::Diagnosed { answer, .. }
            | Self::RoleNotAssumable { answer, .. }
            | Self::StsThrottled { answer }
            | Self::Conflict { answer }
            | Self::Throttled { answer, .. } => Some(answer),
            Self::Unavailable { answer, .. } => answer.as_ref(),
            Self::ServiceMisconfigured { .. } | Self::BudgetExhausted { .. } | Self::DeadlineBeforeAws => {
                None
            }
        }
    }

    /// Whether the same request can succeed later.
    pub(in crate::service) fn repetition(&self) -> Repetition {
        match self {
            Self::Refused { refusal, .. } => refusal_repetition(*refusal),
            Self::Diagnosed { repetition, .. } => *repetition,
            Self::RoleNotAssumable { .. }
            | Self::ServiceMisconfigured { .. }
            | Self::Conflict { .. }
            | Self::BudgetExhausted { .. }
            | Self::Throttled { .. }
            | Self::StsThrottled { .. }
            | Self::Unavailable { .. }
            | Self::DeadlineBeforeAws => Repetition::Possible,
        }
    }

    /// The failed check for an error that keeps the service from reading anything in this location. `assumed` is
    /// whether the role was assumed before.
    pub(in crate::service) fn blocking_check(&self, location: &Location, assumed: bool) -> Option<Check> {
        match self {
            Self::RoleNotAssumable { refusal, answer } => {
                let check = diagnosis::role_not_assumable(*refusal, &answer.message);
                let detail = format!("{} (STS returned {})", check.detail, aws_message(answer));
                Some(Check { detail, ..check })
            }
            Self::ServiceMisconfigured { fault } => Some(diagnosis::service_misconfigured(*fault, assumed)),
            Self::Refused { refusal: Refusal::RegionNotEnabled, .. } => {
                Some(diagnosis::region_not_enabled(location))
            }
            Self::Refused { refusal: Refusal::AccountNotSubscribed, .. } => {
                Some(diagnosis::account_not_subscribed(location))
            }
            Self::Refused { refusal: Refusal::Denied(denial), .. } => {
                let fault = denial.by.service_fault()?;
                Some(diagnosis::service_misconfigured(fault, assumed))
            }
            Self::Refused { .. }
            | Self::Diagnosed { .. }
            | Self::Conflict { .. }
            | Self::BudgetExhausted { .. }
            | Self::Throttled { .. }
            | Self::StsThrottled { .. }
            | Self::Unavailable { .. }
            | Self::DeadlineBeforeAws => None,
        }
    }
}

/// A refusal whose cause no check confirmed. AWS's message is enough where it names a lasting cause. A log group
/// or key that does not exist may have been created moments ago, and a Region may be about to be enabled.
fn refusal_repetition(refusal: Refusal) -> Repetition {
    match refusal {
        Refusal::LogGroupReserved
        | Refusal::KeyDisabled
        | Refusal::KeyPendingDeletion
        | Refusal::KeyNotSymmetric
        | Refusal::Denied(_)
        | Refusal::Parameter => Repetition::Futile,
        Refusal::LogGroupNotFound
        | Refusal::KeyMissingOrNotAllowed
        | Refusal::KeyNotFound
        | Refusal::RegionNotEnabled
        | Refusal::AccountNotSubscribed
        | Refusal::Other => Repetition::Possible,
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
        Refusal::Denied(denial) => denial.reason(),
        Refusal::RegionNotEnabled => Reason::RegionNotEnabled,
        Refusal::AccountNotSubscribed => Reason::AccountNotSubscribed,
        Refusal::Parameter | Refusal::Other => Reason::KeyNotUsable,
    }
}
