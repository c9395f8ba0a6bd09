//! The only file that names [`tonic::Code`]: from every way to fail to what a caller is told.
//!
//! Each status carries `ErrorInfo` with a stable reason, and the request id. What is sent is worded here
//! and in [`text`]; what went wrong underneath is logged and recorded, never sent.

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

/// `ErrorInfo.domain` of every error.
pub const DOMAIN: &str = "keyassociation.v1";

/// Why the edge itself refused a call, before a use case saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EdgeRefusal {
    /// No token came.
    TokenMissing,
    /// The token does not verify; why is for the audit log alone.
    Token {
        /// In a few words that hold nothing of the token.
        reason: &'static str,
        /// Its `jti`, or a hash of it.
        token_id: Option<Arc<str>>,
    },
    /// The token's time is over.
    TokenExpired {
        /// Its `jti`, or a hash of it.
        token_id: Arc<str>,
    },
    /// The issuer's keys cannot be had.
    IssuerUnavailable {
        /// When asking again makes sense.
        retry_after: Duration,
    },
    /// The process has all it can hold, or the source sent too many tokens that failed.
    Overloaded {
        /// When asking again makes sense.
        retry_after: Duration,
    },
    /// The tenant is over its limits.
    Quota(OverQuota),
    /// Fields that cannot be used, each with what is wrong.
    Body {
        /// Field and problem.
        violations: Vec<(String, String)>,
    },
}

// === impl Refused ===

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
    /// The names of the fields that cannot be used.
    pub(super) fn fields(&self) -> String {
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

/// The status of a refusal at the edge.
pub(super) fn fields(call: &Call, refusal: &EdgeRefusal) -> Status {
    refused_with(call, refusal, ErrorDetails::new(), HashMap::new())
}

/// The same, where the tenant is known.
pub(super) fn refusal_for(call: &Call, refusal: &EdgeRefusal, tenant: &TenantId) -> Status {
    let EdgeRefusal::Quota(over) = refusal else { return fields(call, refusal) };
    let mut details = ErrorDetails::new();
    let what = match over {
        OverQuota::Rate { .. } => "calls a second",
        OverQuota::InFlight { .. } => "calls under way",
    };
    details.add_quota_failure_violation(format!("tenant:{tenant}"), what);
    refused_with(call, refusal, details, HashMap::from([("tenant_id".to_owned(), tenant.to_string())]))
}

fn refused_with(
    call: &Call,
    refusal: &EdgeRefusal,
    mut details: ErrorDetails,
    metadata: HashMap<String, String>,
) -> Status {
    let message = match refusal {
        EdgeRefusal::TokenMissing => {
            "a bearer token is required: send it in the metadata as 'authorization: Bearer TOKEN'".into()
        }
        EdgeRefusal::Token { .. } => "the token was not accepted".into(),
        EdgeRefusal::TokenExpired { .. } => "the token has expired: get a new one from your issuer".into(),
        EdgeRefusal::IssuerUnavailable { retry_after } => {
            details.set_retry_info(Some(*retry_after));
            "tokens cannot be verified now, since the issuer's keys cannot be had: try again".into()
        }
        EdgeRefusal::Overloaded { retry_after } => {
            details.set_retry_info(Some(*retry_after));
            "the service cannot take this call now: try again later".into()
        }
        EdgeRefusal::Quota(OverQuota::Rate { retry_after, .. }) => {
            details.set_retry_info(Some(*retry_after));
            format!(
                "your tenant calls more often than it may: try again in {} ms",
                retry_after.as_millis().max(1)
            )
        }
        EdgeRefusal::Quota(OverQuota::InFlight { retry_after, .. }) => {
            details.set_retry_info(Some(*retry_after));
            "your tenant has more calls under way than it may: wait for some of them to end".into()
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

/// The status of a use case that did not succeed.
pub(super) fn from_error(call: &Call, error: &service::Error) -> Status {
    if error.reason() == Reason::Internal {
        tracing::error!(error = error as &dyn std::error::Error, "a defect");
        return internal(call);
    }
    let messages::StatusDetails { message, details, metadata } = messages::status_details(error);
    status(error.reason(), message, details, metadata, call)
}

/// A defect of ours: the message carries the request id and nothing else.
pub(super) fn internal(call: &Call) -> Status {
    let message = format!("internal error; request id {}", call.request_id);
    status(Reason::Internal, message, ErrorDetails::new(), HashMap::new(), call)
}

/// A layer is missing or out of order: our defect, not the caller's.
pub(super) fn missing_extension() -> Status {
    Status::new(Code::Internal, "internal error")
}

/// What tonic refused by itself, in the form of every other refusal; with the reason where it was one.
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
        Code::Unimplemented if theirs.message().is_empty() => {
            (Reason::MethodUnknown, format!("there is no method {path}: list them by server reflection"))
        }
        // tonic's word for a body that is no message of this type, that is too long or cut short.
        Code::Internal
        | Code::OutOfRange
        | Code::InvalidArgument
        | Code::ResourceExhausted
        | Code::Unimplemented => {
            (Reason::FieldInvalid, format!("the request cannot be read: {}", theirs.message()))
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

/// The name of the status code in a response's head, for logs and metrics.
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

/// The code alone: to read a whole status out of a head is to copy all of it.
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

/// One arm for each reason and no `_`: a new one does not compile until someone chose its code.
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
