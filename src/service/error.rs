//! Every way a use case can end but success.

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

/// Why a call did not succeed.
///
/// Not `#[non_exhaustive]`: a new variant must break `server::status` until someone chooses its code
/// and words.
#[derive(Debug, ThisError)]
#[expect(clippy::error_impl_error, reason = "always written `service::Error`")]
pub enum Error {
    /// The tenant that the token speaks for is gone.
    #[error("the tenant of the token is not known")]
    TenantRemoved,
    /// The tenant is suspended.
    #[error("the tenant is suspended")]
    TenantSuspended,
    /// The token lacks a scope.
    #[error("the token lacks the scope {0}")]
    ScopeMissing(Scope),
    /// A field cannot be used, which only shows beside the tenant's grants.
    #[error("{field} {problem}")]
    Invalid {
        /// The field of the request.
        field: &'static str,
        /// What is wrong with it, to be read after the field's name.
        problem: String,
    },
    /// The key lives in another Region than the target.
    #[error("the key is in {key}, the target in {target}")]
    KeyRegionMismatch {
        /// The key's Region.
        key: Region,
        /// The target's Region.
        target: Region,
    },
    /// The log group belongs to AWS.
    #[error("log group {0} is reserved for AWS")]
    LogGroupReserved(LogGroupName),
    /// No account and Region like this stands open to the tenant.
    #[error("no such account or Region")]
    AccountNotFound(UnresolvedLocation),
    /// No log group like this, or none that the tenant may see.
    #[error("no log group {name}")]
    LogGroupNotFound {
        /// Its name.
        name: LogGroupName,
        /// Where it was looked for.
        location: Location,
    },
    /// No key like this, or none that the tenant may use.
    #[error("no key {key}")]
    KeyNotFound {
        /// As it was named.
        key: KmsKeyId,
        /// Where it was looked for.
        location: Location,
    },
    /// Policy says no.
    #[error("not allowed by policy")]
    NotAllowed {
        /// The policies that say so; empty where none permits.
        policies: Vec<Arc<str>>,
    },
    /// AWS said no.
    #[error("AWS refused the call")]
    Refused {
        /// What that means.
        refusal: Refusal,
        /// AWS's words.
        answer: AwsErrorDetails,
    },
    /// AWS said no, and a look showed why.
    #[error("AWS refused the call, for a cause that was found")]
    Diagnosed {
        /// The check that failed.
        cause: Box<Check>,
        /// AWS's words.
        answer: AwsErrorDetails,
    },
    /// The tenant's role cannot be assumed.
    #[error("the role cannot be assumed")]
    RoleNotAssumable {
        /// The words of STS.
        answer: AwsErrorDetails,
    },
    /// Another change of the resource was under way until the deadline.
    #[error("a conflicting operation is in progress")]
    Conflict {
        /// AWS's words.
        answer: AwsErrorDetails,
    },
    /// The key in force is another than the caller expects; nothing was sent.
    #[error("the key in force is another than expected")]
    ExpectedKeyMismatch {
        /// The key in force; none is the AWS-owned default.
        in_force: Option<KmsKeyArn>,
    },
    /// Another change of the resource through this service was under way until the deadline; nothing
    /// was sent.
    #[error("another change of the resource is under way")]
    ResourceLocked,
    /// The account's quota leaves no turn within the deadline.
    #[error("no turn toward AWS within the deadline")]
    BudgetExhausted {
        /// When a repetition could have one.
        retry_after: Duration,
    },
    /// AWS throttled the call until the deadline.
    #[error("throttled by AWS")]
    Throttled {
        /// When a repetition makes sense.
        retry_after: Duration,
        /// AWS's words.
        answer: AwsErrorDetails,
    },
    /// AWS could not be reached, or answered with a fault of its own.
    #[error("AWS unavailable")]
    AwsUnavailable {
        /// AWS's words, where it said any.
        answer: Option<AwsErrorDetails>,
        /// What went wrong, where no answer came.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The audit log could not be written, and nothing was sent to AWS.
    #[error("the audit log cannot be written; nothing was sent")]
    AuditUnavailable(#[source] Option<AuditUnavailable>),
    /// AWS took the change, and its outcome could not be written yet.
    #[error("the change was made; its outcome is not in the audit log yet")]
    OutcomeNotRecorded {
        /// AWS's id of the call, where it answered.
        aws_request_id: Option<Box<str>>,
    },
    /// The change ended in this way after its intent was recorded, and that could not be written yet.
    #[error("how the change ended is not in the audit log yet")]
    FailureNotRecorded {
        /// How it ended.
        #[source]
        error: Box<Self>,
    },
    /// Our own record could not be read.
    #[error("the record of associations cannot be read")]
    RecordUnavailable(#[source] Unavailable),
    /// The deadline passed before anything was sent.
    #[error("the deadline passed before anything was sent")]
    DeadlineBeforeAws,
    /// The request id came with another request before.
    #[error("the request id came with another request before")]
    RequestIdReused,
    /// The first request with this id was under way until the deadline.
    #[error("the first request with this id is under way")]
    RequestInFlight,
    /// AWS refused the first request with this id, and what it said then is told again.
    #[error("the first request with this id was refused")]
    ReplayedFailure {
        /// How the first one ended.
        #[source]
        error: Box<Self>,
        /// The audit event that holds its outcome.
        event: EventId,
    },
    /// The call was sent and no answer came in time.
    #[error("the call was sent and no answer came")]
    OutcomeUnknown {
        /// The audit event that says so.
        event: Option<EventId>,
        /// What went wrong.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Reading the audit log ended otherwise than in what was asked for.
    #[error(transparent)]
    AuditRead(#[from] ReadError),
    /// A defect of ours.
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

    /// AWS's own words, where the error comes from an answer of AWS.
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
        // The key's policy is the cause by far most often, yet the same words come where the key is
        // gone: only a look at the key can tell.
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
