//! The messages of the failures whose cause is in AWS: what its refusal means, and how to fix it.

use super::details::StatusDetails;
use crate::{
    domain::{diagnosis::Check, reason::Reason},
    ports::aws::{AwsErrorDetails, Refusal},
};

/// The cause that a check found, and the statement that fixes it, ready to paste.
pub(super) fn diagnosis_details(cause: &Check, answer: &AwsErrorDetails) -> StatusDetails {
    let message = if cause.remedy.is_empty() {
        cause.detail.clone()
    } else {
        format!("{}: {}", cause.detail, cause.remedy)
    };
    let kind = cause.reason().unwrap_or(Reason::KeyNotUsable);
    let details = StatusDetails::new(message)
        .with_precondition(kind.as_str(), &cause.remedy)
        .with("check", cause.name.as_str())
        .with_aws_error(answer);
    cause.document.iter().fold(details, |details, document| details.with("remedy_document", document))
}

/// What AWS's refusal means, and how to fix its cause.
pub(super) fn refusal_details(refusal: Refusal, answer: &AwsErrorDetails) -> StatusDetails {
    let details = match refusal {
        Refusal::LogGroupNotFound => StatusDetails::new("the log group does not exist: check its name, account and Region"),
        Refusal::LogGroupReserved => StatusDetails::new("the log group is reserved for AWS: use another log group"),
        Refusal::KeyMissingOrNotAllowed => StatusDetails::new(
            "CloudWatch Logs may not use the key for this target: check that the key exists, and that its policy allows the principal logs.REGION.amazonaws.com the actions kms:Encrypt, kms:Decrypt, kms:ReEncrypt*, kms:GenerateDataKey* and kms:Describe* with a condition that matches the target",
        )
        .with_precondition("KEY_POLICY_LACKS_LOGS_SERVICE", "add a statement for logs.REGION.amazonaws.com to the key's policy"),
        Refusal::KeyNotFound => StatusDetails::new("the key does not exist in the target's Region: use the ARN of a key in that Region"),
        Refusal::KeyDisabled => StatusDetails::new("the key is disabled: enable it, or use another key")
            .with_precondition("KEY_DISABLED", "enable the key"),
        Refusal::KeyPendingDeletion => {
            StatusDetails::new("the key is scheduled for deletion: cancel the deletion, or use another key")
                .with_precondition("KEY_PENDING_DELETION", "cancel the deletion")
        }
        Refusal::KeyNotSymmetric => StatusDetails::new(
            "the key is not a symmetric encryption key, and CloudWatch Logs accepts no other: use a key with the key spec SYMMETRIC_DEFAULT",
        )
        .with_precondition("KEY_NOT_SYMMETRIC", "use a symmetric encryption key"),
        Refusal::RoleLacksKms => StatusDetails::new(
            "the role that this service assumes may not use the key: allow the role kms:Encrypt, kms:Decrypt, kms:ReEncrypt*, kms:GenerateDataKey* and kms:Describe* on the key, with kms:ViaService = logs.REGION.amazonaws.com",
        )
        .with_precondition("ROLE_LACKS_KMS_PERMISSION", "extend the role's policy"),
        Refusal::RoleLacksLogs => StatusDetails::new(
            "the role that this service assumes may not make this call: allow the role logs:AssociateKmsKey, logs:DisassociateKmsKey and logs:DescribeLogGroups",
        )
        .with_precondition("ROLE_LACKS_LOGS_PERMISSION", "extend the role's policy"),
        Refusal::Organization => StatusDetails::new(
            "a policy of your AWS organization denies the call: ask its administrators to change the service control policies",
        )
        .with_precondition("DENIED_BY_ORGANIZATION", "change the organization's policy"),
        Refusal::Parameter | Refusal::Other => {
            StatusDetails::new("AWS refused the call with this message: ").with_aws_message(answer)
        }
    };
    details.with_aws_error(answer)
}
