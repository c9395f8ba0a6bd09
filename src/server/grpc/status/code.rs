//! Chooses the gRPC code of each reason, and names codes.

use http::HeaderMap;
use tonic::{Code, Status};

use crate::domain::{grpc_code::CODE_NAMES, reason::Reason};

/// One arm for each reason and no `_`: a new reason does not compile until someone chooses its code.
pub(super) fn code(reason: Reason) -> Code {
    use Reason as R;
    match reason {
        R::TokenMissing | R::TokenInvalid | R::TokenExpired => Code::Unauthenticated,
        R::ScopeMissing | R::AssertedUserNotAllowed | R::NotAllowed | R::TenantSuspended => {
            Code::PermissionDenied
        }
        R::FieldInvalid | R::RequestIdReused | R::KeyRegionMismatch | R::LogGroupReserved => {
            Code::InvalidArgument
        }
        R::LogGroupNotFound
        | R::AccountNotFound
        | R::KeyNotFound
        | R::BulkAssociationNotFound
        | R::EncryptionRuleNotFound
        | R::AuditEventNotFound => Code::NotFound,
        R::AuditEventsArchived => Code::OutOfRange,
        R::KeyDisabled
        | R::KeyPendingDeletion
        | R::KeyNotSymmetric
        | R::KeyNotCustomerManaged
        | R::KeyPolicyLacksLogsService
        | R::KeyPolicyConditionMismatch
        | R::KeyNotUsable
        | R::RoleLacksKmsPermission
        | R::RoleLacksLogsPermission
        | R::RoleNotAssumable
        | R::RoleSessionTooLong
        | R::RegionNotEnabled
        | R::AccountNotSubscribed
        | R::DeniedByOrganization
        | R::JobState
        | R::RuleState
        | R::RuleReadOnly => Code::FailedPrecondition,
        R::ConflictingChange | R::ExpectedKeyMismatch | R::EtagMismatch => Code::Aborted,
        R::TenantRateLimited
        | R::TenantConcurrencyLimited
        | R::AccountBudgetExhausted
        | R::TenantJobsLimited
        | R::TenantRulesLimited
        | R::TooManyItems
        | R::AwsThrottled
        | R::StreamNotRead => Code::ResourceExhausted,
        R::ServiceMisconfigured
        | R::AuditUnavailable
        | R::AwsUnavailable
        | R::IdentityProviderUnavailable
        | R::Overloaded
        | R::ShuttingDown => Code::Unavailable,
        R::DeadlineBeforeAws | R::OutcomeUnknown => Code::DeadlineExceeded,
        R::MethodUnknown => Code::Unimplemented,
        R::Internal => Code::Internal,
    }
}

/// The name of the status code in a response's headers, for logs and metrics.
pub(in crate::server) fn code_name(headers: &HeaderMap) -> &'static str {
    let number = usize::try_from(i32::from(code_in(headers))).ok();
    number.and_then(|number| CODE_NAMES.get(number)).copied().unwrap_or("UNKNOWN")
}

/// The code alone, because `Status::from_header_map` copies the whole status.
pub(super) fn code_in(headers: &HeaderMap) -> Code {
    headers.get(Status::GRPC_STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}
