//! The errors of the use cases. `server::status` maps them to gRPC codes and messages; [`Error::reason`] is
//! the stable reason that callers and the audit log get.

use std::{sync::Arc, time::Duration};

use thiserror::Error as ThisError;

use super::audit::error::ReadError;
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{Location, LogGroupName, UnresolvedLocation},
        audit::EventId,
        aws::Region,
        diagnosis::Check,
        principal::Scope,
        reason::Reason,
    },
    ports::{
        AuditUnavailable, Unavailable,
        aws::{AwsErrorDetails, Refusal},
    },
};

/// Why a use case failed.
///
/// Not `#[non_exhaustive]`: a new variant must break the build of `server::status` until it has a code and
/// a message.
#[derive(Debug, ThisError)]
#[expect(clippy::error_impl_error, reason = "always written `service::Error`")]
pub enum Error {
    /// The token names a tenant that the configuration does not have, or no longer has.
    #[error("the token's tenant does not exist")]
    TenantRemoved,
    /// The operator suspended the tenant.
    #[error("the tenant is suspended")]
    TenantSuspended,
    /// The token lacks the scope that the call requires.
    #[error("the token lacks the scope {0}")]
    ScopeMissing(Scope),
    /// A field has an invalid value, and only the use case could detect it.
    #[error("{field} {problem}")]
    Invalid {
        /// The field of the request.
        field: &'static str,
        /// The problem, worded to follow the field's name.
        problem: String,
    },
    /// The key is in a different Region than the target.
    #[error("the key is in {key}, but the target is in {target}")]
    KeyRegionMismatch {
        /// The key's Region.
        key: Region,
        /// The target's Region.
        target: Region,
    },
    /// AWS reserves log groups with this name.
    #[error("log group {0} is reserved for AWS")]
    LogGroupReserved(LogGroupName),
    /// The tenant has no grant that covers this account and Region.
    #[error("the tenant has no such account or Region")]
    AccountNotFound(UnresolvedLocation),
    /// The log group does not exist, or the tenant may not see it.
    #[error("log group {name} was not found")]
    LogGroupNotFound {
        /// The name of the log group.
        name: LogGroupName,
        /// The account and Region of the lookup.
        location: Location,
    },
    /// The key does not exist, or the tenant may not use it.
    #[error("key {key} was not found")]
    KeyNotFound {
        /// The key as the caller named it.
        key: KmsKeyId,
        /// The account and Region of the lookup.
        location: Location,
    },
    /// Policy denies the call.
    #[error("policy denies the call")]
    NotAllowed {
        /// The policies that forbid the call. Empty if no policy permits it.
        policies: Vec<Arc<str>>,
    },
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
    /// The current key is not the one that the caller expects. Nothing was sent to AWS.
    #[error("the current key is not the expected one")]
    ExpectedKeyMismatch {
        /// The current key. `None` is the AWS-owned default.
        in_force: Option<KmsKeyArn>,
    },
    /// This service was making another change of the resource until the deadline. Nothing was sent to AWS.
    #[error("another change of the resource is in flight")]
    ResourceLocked,
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
    AwsUnavailable {
        /// AWS's code and message, if a response came.
        answer: Option<AwsErrorDetails>,
        /// The transport error, if no response came.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The audit log did not accept the intent in time, so nothing was sent to AWS.
    #[error("the audit log is not writable, so nothing was sent to AWS")]
    AuditUnavailable(#[source] Option<AuditUnavailable>),
    /// AWS made the change, but the audit log has not accepted its outcome yet.
    #[error("AWS made the change, but its outcome is not in the audit log yet")]
    OutcomeNotRecorded {
        /// AWS's request id of the call.
        aws_request_id: Option<Box<str>>,
    },
    /// The change failed or its outcome is unknown, and the audit log has not accepted the outcome yet.
    #[error("the outcome of the change is not in the audit log yet")]
    FailureNotRecorded {
        /// How the change ended.
        #[source]
        error: Box<Self>,
    },
    /// The service cannot read its store.
    #[error("the service cannot read its store")]
    RecordUnavailable(#[source] Unavailable),
    /// The deadline passed before the service sent the call to AWS.
    #[error("the deadline passed before anything was sent to AWS")]
    DeadlineBeforeAws,
    /// A different request used the same idempotency key before.
    #[error("the request id belongs to a different request")]
    RequestIdReused,
    /// The first request with the same idempotency key was in flight until the deadline.
    #[error("the first request with this request id is in flight")]
    RequestInFlight,
    /// The replay of a refusal: AWS refused the first request with the same idempotency key.
    #[error("AWS refused the first request with this request id")]
    ReplayedFailure {
        /// Why AWS refused the first request.
        #[source]
        error: Box<Self>,
        /// The audit event with the outcome of the first request.
        event: EventId,
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
    /// A read of the audit log failed.
    #[error(transparent)]
    AuditRead(#[from] ReadError),
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
            Self::TenantRemoved => Reason::TokenInvalid,
            Self::TenantSuspended => Reason::TenantSuspended,
            Self::ScopeMissing(_) => Reason::ScopeMissing,
            Self::Invalid { .. } => Reason::FieldInvalid,
            Self::KeyRegionMismatch { .. } => Reason::KeyRegionMismatch,
            Self::LogGroupReserved(_) => Reason::LogGroupReserved,
            Self::AccountNotFound(_) => Reason::AccountNotFound,
            Self::LogGroupNotFound { .. } => Reason::LogGroupNotFound,
            Self::KeyNotFound { .. } => Reason::KeyNotFound,
            Self::NotAllowed { .. } => Reason::NotAllowed,
            Self::Refused { refusal, .. } => refusal_reason(*refusal),
            Self::Diagnosed { cause, .. } => cause.reason().unwrap_or(Reason::KeyNotUsable),
            Self::RoleNotAssumable { .. } => Reason::RoleNotAssumable,
            Self::Conflict { .. } | Self::ResourceLocked | Self::RequestInFlight => Reason::ConflictingChange,
            Self::RequestIdReused => Reason::RequestIdReused,
            Self::ReplayedFailure { error, .. } | Self::FailureNotRecorded { error } => error.reason(),
            Self::ExpectedKeyMismatch { .. } => Reason::ExpectedKeyMismatch,
            Self::BudgetExhausted { .. } => Reason::AccountBudgetExhausted,
            Self::Throttled { .. } => Reason::AwsThrottled,
            Self::AwsUnavailable { .. } => Reason::AwsUnavailable,
            Self::AuditUnavailable(_) | Self::OutcomeNotRecorded { .. } | Self::RecordUnavailable(_) => {
                Reason::AuditUnavailable
            }
            Self::AuditRead(error) => error.reason(),
            Self::DeadlineBeforeAws => Reason::DeadlineBeforeAws,
            Self::OutcomeUnknown { .. } => Reason::OutcomeUnknown,
            Self::Internal(_) => Reason::Internal,
        }
    }

    /// AWS's code and message, if the error comes from a response of AWS.
    #[must_use]
    pub fn aws_answer(&self) -> Option<&AwsErrorDetails> {
        match self {
            Self::Refused { answer, .. }
            | Self::Diagnosed { answer, .. }
            | Self::RoleNotAssumable { answer }
            | Self::Conflict { answer }
            | Self::Throttled { answer, .. } => Some(answer),
            Self::AwsUnavailable { answer, .. } => answer.as_ref(),
            Self::ReplayedFailure { error, .. } | Self::FailureNotRecorded { error } => error.aws_answer(),
            Self::TenantRemoved
            | Self::TenantSuspended
            | Self::ScopeMissing(_)
            | Self::Invalid { .. }
            | Self::KeyRegionMismatch { .. }
            | Self::LogGroupReserved(_)
            | Self::AccountNotFound(_)
            | Self::LogGroupNotFound { .. }
            | Self::KeyNotFound { .. }
            | Self::NotAllowed { .. }
            | Self::ExpectedKeyMismatch { .. }
            | Self::ResourceLocked
            | Self::RequestInFlight
            | Self::RequestIdReused
            | Self::BudgetExhausted { .. }
            | Self::AuditUnavailable(_)
            | Self::OutcomeNotRecorded { .. }
            | Self::RecordUnavailable(_)
            | Self::DeadlineBeforeAws
            | Self::OutcomeUnknown { .. }
            | Self::AuditRead(_)
            | Self::Internal(_) => None,
        }
    }
}

fn refusal_reason(refusal: Refusal) -> Reason {
    match refusal {
        Refusal::LogGroupNotFound => Reason::LogGroupNotFound,
        Refusal::LogGroupReserved => Reason::LogGroupReserved,
        // By far the most frequent cause is the key's policy. AWS returns the same message if the key does
        // not exist, and only a read of the key distinguishes the two.
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
