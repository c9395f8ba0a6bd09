//! What the SDK reports, as what it means: said no, never sent, or nobody knows.
//!
//! Where it is in doubt whether a call reached AWS, it counts as sent.

mod refusal;
#[cfg(test)]
mod tests;

use std::error::Error;

use aws_sdk_sts::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};

use crate::ports::aws::{AwsErrorDetails, UpstreamError};

pub(super) use self::refusal::refusal;

/// Codes of throttling, as the SDK's own retries know them (`aws_runtime::retries::classifiers`).
const THROTTLING: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "SlowDown",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
];
/// Codes of a change that got in another's way.
const CONFLICT: &[&str] =
    &["OperationAbortedException", "ConflictException", "ConcurrentModificationException"];
/// Codes of a fault on AWS's side, also where the HTTP status says otherwise.
const SERVER_FAULT: &[&str] = &[
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "InternalFailure",
    "InternalError",
    "InternalServerError",
    "InternalServiceError",
    "KMSInternalException",
    "DependencyTimeoutException",
    "KeyUnavailableException",
    "RequestTimeout",
    "RequestTimeoutException",
];
/// Codes of a session that is over before its time.
const EXPIRED_CODES: &[&str] = &["ExpiredToken", "ExpiredTokenException"];

/// What the failure of a call means.
pub(super) fn upstream<E>(error: SdkError<E, HttpResponse>) -> UpstreamError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match &error {
        SdkError::ConstructionFailure(_) => UpstreamError::NotSent(error.into()),
        SdkError::DispatchFailure(_) if never_connected(&error) => UpstreamError::NotSent(error.into()),
        SdkError::ServiceError(service_error) => {
            let status = service_error.raw().status().as_u16();
            classify(status, trace_of(&error))
        }
        SdkError::ResponseError(service_error) if service_error.raw().status().is_server_error() => {
            UpstreamError::Fault { answer: trace_of(&error) }
        }
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) | _ => {
            UpstreamError::Unanswered(error.into())
        }
    }
}

/// AWS's words in an error.
pub(super) fn trace_of<E>(error: &SdkError<E, HttpResponse>) -> AwsErrorDetails
where
    E: ProvideErrorMetadata,
{
    let status = error.raw_response().map(|raw| format!("HTTP {}", raw.status().as_u16()));
    AwsErrorDetails {
        code: error.code().map_or_else(|| status.unwrap_or_default().into(), Into::into),
        message: error.message().unwrap_or_default().into(),
        request_id: error.request_id().map(Into::into),
    }
}

/// Whether the session that was used is over.
pub(super) fn is_session_expired(error: &UpstreamError) -> bool {
    matches!(error, UpstreamError::Refused { answer, .. } if EXPIRED_CODES.contains(&&*answer.code))
}

/// AWS's id of a call that failed, where it said one.
pub(super) fn request_id(error: &UpstreamError) -> Option<&str> {
    match error {
        UpstreamError::Refused { answer, .. }
        | UpstreamError::RoleNotAssumable { answer }
        | UpstreamError::Conflict { answer }
        | UpstreamError::Throttled { answer }
        | UpstreamError::Fault { answer } => answer.request_id.as_deref(),
        UpstreamError::NotSent(_) | UpstreamError::Unanswered(_) => None,
    }
}

/// What an error with this status and these words means: the code is asked first, the status after
/// it, the message last.
fn classify(status: u16, answer: AwsErrorDetails) -> UpstreamError {
    let code = &*answer.code;
    if THROTTLING.contains(&code) || status == 429 {
        UpstreamError::Throttled { answer }
    } else if CONFLICT.contains(&code) {
        UpstreamError::Conflict { answer }
    } else if SERVER_FAULT.contains(&code) || status >= 500 || status == 408 {
        UpstreamError::Fault { answer }
    } else {
        UpstreamError::Refused { refusal: refusal(code, &answer.message), answer }
    }
}

/// Whether the error is that of a connection that never came to be.
pub(super) fn never_connected(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(client) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return client.is_connect();
        }
        next = error.source();
    }
    false
}

/// An answer that says nothing that can be used.
pub(super) fn unreadable(operation: &str) -> UpstreamError {
    let message = format!("the answer to {operation} cannot be read");
    let answer =
        AwsErrorDetails { code: "UnreadableAnswer".into(), message: message.into(), request_id: None };
    UpstreamError::Fault { answer }
}
