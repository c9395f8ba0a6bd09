//! What a refusal means, by its code and then by its message.
//!
//! AWS models four errors of `AssociateKmsKey` and answers with many more, whose messages it does not
//! document. A wrong guess does no harm: whoever answers the caller looks at the key before blaming it.

use crate::ports::aws::Refusal;

/// What this refusal means.
pub(in crate::aws) fn refusal(code: &str, message: &str) -> Refusal {
    match code {
        "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" => denied(message),
        "ResourceNotFoundException" => Refusal::LogGroupNotFound,
        "NotFoundException" => Refusal::KeyNotFound,
        "DisabledException" => Refusal::KeyDisabled,
        "KMSInvalidStateException" => key_words(message).unwrap_or(Refusal::Other),
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
    let says = |text: &str| message.contains(text);
    if says("does not exist or is not allowed to be used") {
        Refusal::KeyMissingOrNotAllowed
    } else if says("service control policy") || says("resource control policy") {
        Refusal::Organization
    } else if says("not authorized to perform: kms:") {
        Refusal::RoleLacksKms
    } else if says("not authorized to perform: logs:") {
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
        key_words(message).unwrap_or(Refusal::Parameter)
    }
}

/// What is wrong with a key, where the words can mean nothing else.
fn key_words(message: &str) -> Option<Refusal> {
    let lower = message.to_ascii_lowercase();
    let says = |message: &str| lower.contains(message);
    if !says("key") && !says(":kms:") {
        None
    } else if says("pending deletion") || says("pendingdeletion") {
        Some(Refusal::KeyPendingDeletion)
    } else if says("is disabled") {
        Some(Refusal::KeyDisabled)
    } else if says("asymmetric") || says("not symmetric") {
        Some(Refusal::KeyNotSymmetric)
    } else {
        None
    }
}
