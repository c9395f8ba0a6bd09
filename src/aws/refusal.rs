//! Classifies a refusal by its code, then by its message.
//!
//! AWS documents four errors of `AssociateKmsKey` but returns many more, with undocumented messages. A wrong
//! guess is harmless if the role may read the key: the service checks the key before it reports it as the cause.

use crate::ports::aws::Refusal;

/// Classifies a refusal with this code and message.
pub(super) fn refusal(code: &str, message: &str) -> Refusal {
    match code {
        "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" => denied(message),
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

fn denied(message: &str) -> Refusal {
    let contains = |text: &str| message.contains(text);
    if contains("does not exist or is not allowed to be used") {
        Refusal::KeyMissingOrNotAllowed
    } else if contains("service control policy") || contains("resource control policy") {
        Refusal::Organization
    } else if contains("not authorized to perform: kms:") {
        Refusal::RoleLacksKms
    } else if contains("not authorized to perform: logs:") {
        Refusal::RoleLacksLogs
    } else {
        Refusal::Other
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
