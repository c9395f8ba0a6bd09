//! Maps every failure to a gRPC status; no other file names [`tonic::Code`].
//!
//! Each status carries `ErrorInfo` with a stable reason, and the request id. [`messages`] words it. The
//! underlying cause is logged and recorded, never sent.

mod messages;

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{HeaderMap, Response};
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    domain::{call::Call, reason::Reason, tenant::TenantId},
    ports::OverQuota,
    service,
};

/// The `ErrorInfo.domain` of every error.
pub const DOMAIN: &str = "keyassociation.v1";

/// Why a layer of the server rejected a call before it reached a use case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EdgeRefusal {
    /// The call has no token.
    TokenMissing,
    /// The token cannot be verified. Only the audit log gets the reason.
    Token {
        /// A short reason that contains no part of the token.
        reason: &'static str,
        /// The token's `jti`, or a hash of the token.
        token_id: Option<Arc<str>>,
    },
    /// The token has expired.
    TokenExpired {
        /// The token's `jti`, or a hash of the token.
        token_id: Arc<str>,
    },
    /// The issuer's keys are not available.
    IssuerUnavailable {
        /// The delay after which a retry can succeed.
        retry_after: Duration,
    },
    /// The process is at its limit of calls in flight, or the source sent too many invalid tokens.
    Overloaded {
        /// The delay after which a retry can succeed.
        retry_after: Duration,
    },
    /// The tenant exceeds its quota.
    Quota(OverQuota),
    /// One or more fields are invalid.
    Body {
        /// The name of each invalid field, and its problem.
        violations: Vec<(String, String)>,
    },
}

// === impl EdgeRefusal ===

impl EdgeRefusal {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::TokenMissing => Reason::TokenMissing,
            Self::Token { .. } => Reason::TokenInvalid,
            Self::TokenExpired { .. } => Reason::TokenExpired,
            Self::IssuerUnavailable { .. } => Reason::IdentityProviderUnavailable,
            Self::Overloaded { .. } => Reason::Overloaded,
            Self::Quota(OverQuota::Rate { .. }) => Reason::TenantRateLimited,
            Self::Quota(OverQuota::InFlight { .. }) => Reason::TenantConcurrencyLimited,
            Self::Body { .. } => Reason::FieldInvalid,
        }
    }
}

impl EdgeRefusal {
    /// The names of the invalid fields, as a predicate for [`service::Error::Invalid`].
    pub(super) fn invalid_fields(&self) -> String {
        match self {
            Self::Body { violations } => {
                let names: Vec<&str> = violations.iter().map(|(field, _)| field.as_str()).collect();
                format!("has fields that cannot be used: {}", names.join(", "))
            }
            Self::TokenMissing
            | Self::Token { .. }
            | Self::TokenExpired { .. }
            | Self::IssuerUnavailable { .. }
            | Self::Overloaded { .. }
            | Self::Quota(_) => String::new(),
        }
    }
}

/// The status of a rejection by a layer.
pub(super) fn from_refusal(call: &Call, refusal: &EdgeRefusal) -> Status {
    refusal_status(call, refusal, ErrorDetails::new(), HashMap::new())
}

/// The status of a rejection by a layer after authentication; it names the tenant.
pub(super) fn from_tenant_refusal(call: &Call, refusal: &EdgeRefusal, tenant: &TenantId) -> Status {
    let EdgeRefusal::Quota(over) = refusal else { return from_refusal(call, refusal) };
    let mut details = ErrorDetails::new();
    let what = match over {
        OverQuota::Rate { .. } => "calls per second",
        OverQuota::InFlight { .. } => "calls in flight",
    };
    details.add_quota_failure_violation(format!("tenant:{tenant}"), what);
    refusal_status(call, refusal, details, HashMap::from([("tenant_id".to_owned(), tenant.to_string())]))
}

fn refusal_status(
    call: &Call,
    refusal: &EdgeRefusal,
    mut details: ErrorDetails,
    metadata: HashMap<String, String>,
) -> Status {
    let message = match refusal {
        EdgeRefusal::TokenMissing => {
            "a bearer token is required: send it in the metadata as 'authorization: Bearer TOKEN'".into()
        }
        EdgeRefusal::Token { .. } => {
            "the token was rejected: get a new one from its issuer, or ask the operator of this service for the cause".into()
        }
        EdgeRefusal::TokenExpired { .. } => "the token has expired: get a new one from your issuer".into(),
        EdgeRefusal::IssuerUnavailable { retry_after } => {
            details.set_retry_info(Some(*retry_after));
            "the token cannot be verified, because the issuer's keys are not available: retry".into()
        }
        EdgeRefusal::Overloaded { retry_after } => {
            details.set_retry_info(Some(*retry_after));
            "the service is overloaded: retry later".into()
        }
        EdgeRefusal::Quota(OverQuota::Rate { retry_after, .. }) => {
            details.set_retry_info(Some(*retry_after));
            format!(
                "your tenant exceeds its rate of calls: retry after {} ms",
                retry_after.as_millis().max(1)
            )
        }
        EdgeRefusal::Quota(OverQuota::InFlight { retry_after, .. }) => {
            details.set_retry_info(Some(*retry_after));
            "your tenant has too many calls in flight: wait until some of them end".into()
        }
        EdgeRefusal::Body { violations } => {
            let listed: Vec<String> =
                violations.iter().map(|(field, problem)| format!("{field} {problem}")).collect();
            for (field, problem) in violations {
                details.add_bad_request_violation(field, problem);
            }
            listed.join("; ")
        }
    };
    status(refusal.reason(), message, details, metadata, call)
}

/// The status of a use case that failed.
pub(super) fn from_error(call: &Call, error: &service::Error) -> Status {
    if error.reason() == Reason::Internal {
        tracing::error!(error = error as &dyn std::error::Error, "a call failed with an internal error");
        return internal(call);
    }
    let messages::StatusDetails { message, details, metadata } = messages::status_details(error);
    status(error.reason(), message, details, metadata, call)
}

/// A defect of this service: the message has the request id and no other details.
pub(super) fn internal(call: &Call) -> Status {
    let message = format!("internal error; request id {}", call.request_id);
    status(Reason::Internal, message, ErrorDetails::new(), HashMap::new(), call)
}

/// A layer is missing or out of order: a defect of this service, not of the request.
pub(super) fn missing_extension() -> Status {
    Status::new(Code::Internal, "internal error")
}

/// Gives a rejection by tonic itself the same form as every other one. Returns its reason if there is one.
pub(super) fn normalize(
    response: Response<Body>,
    call: &Call,
    path: &str,
) -> (Response<Body>, Option<Reason>) {
    let ours = response.headers().contains_key(Status::GRPC_STATUS_DETAILS);
    if ours || code_in(response.headers()) == Code::Ok || path.starts_with("/grpc.") {
        return (response, None);
    }
    let Some(theirs) = Status::from_header_map(response.headers()) else { return (response, None) };
    let (reason, message) = match theirs.code() {
        Code::Unimplemented if theirs.message().is_empty() => (
            Reason::MethodUnknown,
            format!("method {path} does not exist: list the methods with server reflection"),
        ),
        // tonic uses these codes for a body that is truncated, too long, or not a message of this type.
        Code::Internal
        | Code::OutOfRange
        | Code::InvalidArgument
        | Code::ResourceExhausted
        | Code::Unimplemented => {
            (Reason::FieldInvalid, format!("the request cannot be decoded: {}", theirs.message()))
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => return (response, None),
    };
    let ours = status(reason, message, ErrorDetails::new(), HashMap::new(), call);
    (ours.into_http(), Some(reason))
}

/// The name of the status code in a response's headers, for logs and metrics.
pub(super) fn code_name(headers: &HeaderMap) -> &'static str {
    match code_in(headers) {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The code alone, because `Status::from_header_map` copies the whole status.
fn code_in(headers: &HeaderMap) -> Code {
    headers.get(Status::GRPC_STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

fn status(
    reason: Reason,
    message: String,
    mut details: ErrorDetails,
    metadata: HashMap<String, String>,
    call: &Call,
) -> Status {
    details.set_error_info(reason.as_str(), DOMAIN, metadata);
    details.set_request_info(call.request_id.as_str(), "");
    Status::with_error_details(code(reason), message, details)
}

/// One arm for each reason and no `_`: a new reason does not compile until someone chooses its code.
fn code(reason: Reason) -> Code {
    use Reason as R;
    match reason {
        R::TokenMissing | R::TokenInvalid | R::TokenExpired => Code::Unauthenticated,
        R::ScopeMissing | R::NotAllowed | R::TenantSuspended => Code::PermissionDenied,
        R::FieldInvalid | R::RequestIdReused | R::KeyRegionMismatch | R::LogGroupReserved => {
            Code::InvalidArgument
        }
        R::LogGroupNotFound | R::AccountNotFound | R::KeyNotFound | R::AuditEventNotFound => Code::NotFound,
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
        | R::DeniedByOrganization => Code::FailedPrecondition,
        R::ConflictingChange | R::ExpectedKeyMismatch => Code::Aborted,
        R::TenantRateLimited
        | R::TenantConcurrencyLimited
        | R::AccountBudgetExhausted
        | R::AwsThrottled
        | R::StreamNotRead => Code::ResourceExhausted,
        R::AuditUnavailable
        | R::AwsUnavailable
        | R::IdentityProviderUnavailable
        | R::Overloaded
        | R::ShuttingDown => Code::Unavailable,
        R::DeadlineBeforeAws | R::OutcomeUnknown => Code::DeadlineExceeded,
        R::MethodUnknown => Code::Unimplemented,
        R::Internal => Code::Internal,
    }
}

#[cfg(test)]
mod tests;
