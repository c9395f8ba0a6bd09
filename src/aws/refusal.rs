//! Classifies a refusal by its code, then by its message.
//!
//! AWS documents four errors of `AssociateKmsKey` but returns many more, with undocumented messages. A wrong
//! guess is harmless if the role may read the key: the service checks the key before it reports it as the cause.

use crate::{
    domain::refusal::{AccessDenial, DeniedAction, DenyingPolicy, ServiceFault},
    ports::aws::Refusal,
};

/// The error codes of a session that AWS does not know. AWS documents them only as "not valid"; they are what
/// a Region returns that the account has not enabled:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_enable-regions.html>.
pub(super) const UNKNOWN_TOKEN: &[&str] = &[
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "UnrecognizedClient",
    "UnrecognizedClientException",
];
/// The error codes of a missing permission.
pub(super) const ACCESS_DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "NotAuthorized",
    "NotAuthorizedException",
    "UnauthorizedOperation",
];
/// The error codes of an account that is not signed up for the AWS service.
pub(super) const NOT_SUBSCRIBED: &[&str] = &["NotSignedUp", "OptInRequired", "SubscriptionRequiredException"];

/// Classifies a refusal with this code and message.
pub(super) fn refusal(code: &str, message: &str) -> Refusal {
    match code {
        code if ACCESS_DENIED.contains(&code) => denied(message),
        code if UNKNOWN_TOKEN.contains(&code) => Refusal::RegionNotEnabled,
        code if NOT_SUBSCRIBED.contains(&code) => Refusal::AccountNotSubscribed,
        "ResourceNotFoundException" => Refusal::LogGroupNotFound,
        "NotFoundException" => Refusal::KeyNotFound,
        "DisabledException" => Refusal::KeyDisabled,
        "KMSInvalidStateException" => key_refusal(message).unwrap_or(Refusal::Other),
        "InvalidParameterException" => parameter(message),
        "InvalidArnException"
        | "InvalidParameterCombination"
        | "InvalidParameterValue"
        | "MissingParameter"
        | "SerializationException"
        | "ValidationError"
        | "ValidationException" => Refusal::Parameter,
        _ => Refusal::Other,
    }
}

/// The fault of this service that an error shows, whichever credentials the call used: its clock,
/// its signatures, or where it sends its calls. The codes are the "Common Error Types" of the API references:
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html>.
pub(super) fn request_fault(code: &str, message: &str) -> Option<ServiceFault> {
    let contains = |text: &str| message.contains(text);
    match code {
        "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => Some(ServiceFault::Clock),
        "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "SignatureDoesNotMatch" => {
            Some(if contains("Signature expired") || contains("Signature not yet current") {
                ServiceFault::Clock
            } else if contains("Credential should be scoped to") {
                ServiceFault::Endpoint
            } else {
                ServiceFault::Signature
            })
        }
        "InvalidAction"
        | "InvalidQueryParameter"
        | "MalformedHttpRequestException"
        | "MalformedQueryString"
        | "MissingAction"
        | "RequestEntityTooLargeException"
        | "UnknownOperationException" => Some(ServiceFault::Endpoint),
        // AWS always sends a code, so a proxy or another server responded.
        code if code.starts_with("HTTP 4") => Some(ServiceFault::Endpoint),
        _ => None,
    }
}

fn denied(message: &str) -> Refusal {
    if message.contains("does not exist or is not allowed to be used") {
        return Refusal::KeyMissingOrNotAllowed;
    }
    match AccessDenial::parse(message) {
        AccessDenial { action: DeniedAction::Other, by: DenyingPolicy::Unspecified, .. } => Refusal::Other,
        denial => Refusal::Denied(denial),
    }
}

fn parameter(message: &str) -> Refusal {
    let lower = message.to_ascii_lowercase();
    if lower.contains("reserved for aws") {
        Refusal::LogGroupReserved
    } else if lower.contains("kms key id could not be found") {
        Refusal::KeyNotFound
    } else {
        key_refusal(message).unwrap_or(Refusal::Parameter)
    }
}

/// The state of a key that the message reports, if the message is unambiguous.
fn key_refusal(message: &str) -> Option<Refusal> {
    let lower = message.to_ascii_lowercase();
    let contains = |text: &str| lower.contains(text);
    if !contains("key") && !contains(":kms:") {
        None
    } else if contains("pending deletion") || contains("pendingdeletion") {
        Some(Refusal::KeyPendingDeletion)
    } else if contains("is disabled") {
        Some(Refusal::KeyDisabled)
    } else if contains("asymmetric") || contains("not symmetric") {
        Some(Refusal::KeyNotSymmetric)
    } else {
        None
    }
}
