//! Classifies the errors of the SDK: AWS refused the call, it was never sent, or its outcome is unknown.
//!
//! A call counts as sent if it is uncertain whether it reached AWS.

#[cfg(test)]
mod tests;

use std::error::Error;

use aws_sdk_sts::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};

use super::refusal::{refusal, request_fault};
use crate::{
    domain::refusal::ServiceFault,
    ports::aws::{AwsErrorDetails, Refusal, UpstreamError},
};

/// The error codes of throttling, as in the SDK's own retries (`aws_runtime::retries::classifiers`), and those of
/// `ReceiveMessage`: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>.
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
    "KMS.ThrottlingException",
    "KmsThrottled",
    "OverLimit",
];
/// The error codes of a conflict with another change.
const CONFLICT: &[&str] =
    &["OperationAbortedException", "ConflictException", "ConcurrentModificationException"];
/// The error codes of a server error in AWS, whatever the HTTP status is.
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
    "RequestAbortedException",
    "RequestTimeout",
    "RequestTimeoutException",
];
/// The error codes of a session that AWS considers expired.
const EXPIRED_CODES: &[&str] = &["ExpiredToken", "ExpiredTokenException"];

/// The error type of any operation of the SDK.
pub(super) trait ServiceError: ProvideErrorMetadata + Error + Send + Sync + 'static {}

impl<E: ProvideErrorMetadata + Error + Send + Sync + 'static> ServiceError for E {}

/// Classifies the failure of a call.
pub(super) fn upstream<E>(error: SdkError<E, HttpResponse>) -> UpstreamError
where
    E: ServiceError,
{
    match &error {
        SdkError::ConstructionFailure(_) => UpstreamError::NotSent(error.into()),
        SdkError::DispatchFailure(_) if never_connected(&error) => UpstreamError::NotSent(error.into()),
        SdkError::ServiceError(service_error) => {
            let status = service_error.raw().status().as_u16();
            classify(status, error_details(&error))
        }
        SdkError::ResponseError(service_error) if service_error.raw().status().is_server_error() => {
            UpstreamError::Fault { answer: error_details(&error) }
        }
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) | _ => {
            UpstreamError::Unanswered(error.into())
        }
    }
}

/// The code, message and request id of AWS's response.
pub(super) fn error_details<E>(error: &SdkError<E, HttpResponse>) -> AwsErrorDetails
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

/// Whether AWS reports that the session of the call has expired.
pub(super) fn is_session_expired(error: &UpstreamError) -> bool {
    matches!(error, UpstreamError::Refused { answer, .. } if EXPIRED_CODES.contains(&&*answer.code))
}

/// Whether AWS reports that it does not know the session of the call.
pub(super) fn is_session_unknown(error: &UpstreamError) -> bool {
    matches!(error, UpstreamError::Refused { refusal: Refusal::RegionNotEnabled, .. })
}

/// The fault of the service itself that the error shows, and AWS's error.
pub(super) fn service_fault(error: &UpstreamError) -> Option<(ServiceFault, &AwsErrorDetails)> {
    match error {
        UpstreamError::ServiceMisconfigured { fault, answer } => Some((*fault, answer)),
        UpstreamError::Refused { refusal: Refusal::Denied(denial), answer } => {
            Some((denial.by.service_fault()?, answer))
        }
        UpstreamError::Refused { .. }
        | UpstreamError::RoleNotAssumable { .. }
        | UpstreamError::StsThrottled { .. }
        | UpstreamError::Conflict { .. }
        | UpstreamError::Throttled { .. }
        | UpstreamError::Fault { .. }
        | UpstreamError::NotSent(_)
        | UpstreamError::Unanswered(_) => None,
    }
}

/// The request id of a failed call, if AWS sent one.
pub(super) fn request_id(error: &UpstreamError) -> Option<&str> {
    match error {
        UpstreamError::Refused { answer, .. }
        | UpstreamError::RoleNotAssumable { answer, .. }
        | UpstreamError::StsThrottled { answer }
        | UpstreamError::ServiceMisconfigured { answer, .. }
        | UpstreamError::Conflict { answer }
        | UpstreamError::Throttled { answer }
        | UpstreamError::Fault { answer } => answer.request_id.as_deref(),
        UpstreamError::NotSent(_) | UpstreamError::Unanswered(_) => None,
    }
}

/// Classifies an error response: by its code first, then by the status, then by the message. A response
/// without an error status is one that the SDK could not parse, which says nothing about the call.
fn classify(status: u16, answer: AwsErrorDetails) -> UpstreamError {
    let code = &*answer.code;
    if THROTTLING.contains(&code) || status == 429 {
        UpstreamError::Throttled { answer }
    } else if CONFLICT.contains(&code) {
        UpstreamError::Conflict { answer }
    } else if SERVER_FAULT.contains(&code) || status >= 500 || status == 408 || status < 400 {
        UpstreamError::Fault { answer }
    } else if let Some(fault) = request_fault(code, &answer.message) {
        UpstreamError::ServiceMisconfigured { fault, answer }
    } else {
        UpstreamError::Refused { refusal: refusal(code, &answer.message), answer }
    }
}

/// Whether the error is a failure to connect.
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

/// The error for a response that cannot be parsed.
pub(super) fn unreadable(operation: &str) -> UpstreamError {
    let message = format!("the response to {operation} cannot be parsed");
    let answer =
        AwsErrorDetails { code: "UnreadableAnswer".into(), message: message.into(), request_id: None };
    UpstreamError::Fault { answer }
}
