//! The messages of the failures whose cause is in AWS: what its refusal means, and how to fix it.

use std::time::Duration;

use super::details::StatusDetails;
use crate::{
    domain::{
        diagnosis::{self, Check},
        reason::Reason,
        refusal::{AccessDenial, AssumeRoleRefusal, DeniedAction, DenyingPolicy, ServiceFault},
    },
    ports::aws::{AwsErrorDetails, Refusal},
    service::Repetition,
};

/// The `RetryInfo` delay of a failure that an operator has to repair.
const OPERATOR_RETRY: Duration = Duration::from_secs(30);
/// The `RetryInfo` delay of a refusal that AWS probably lifts by itself. AWS documents a few minutes at most.
const APPLYING_RETRY: Duration = Duration::from_secs(10);

/// The end of a message whose details have a policy statement.
const STATEMENT_LOCATION: &str = "; the statement to paste is in `remedy_document`";

/// The cause that a check found, and the statement that fixes it, ready to paste.
fn diagnosis_details(cause: &Check, answer: &AwsErrorDetails) -> StatusDetails {
    let mut message = if cause.remedy.is_empty() {
        cause.detail.clone()
    } else {
        format!("{}: {}", cause.detail, cause.remedy)
    };
    if cause.document.is_some() {
        message.push_str(STATEMENT_LOCATION);
    }
    let kind = cause.reason().unwrap_or(Reason::KeyNotUsable);
    let details = StatusDetails::new(message)
        .with_precondition(kind.as_str(), &cause.remedy)
        .with("check", cause.name.as_str())
        .with_aws_error(answer);
    let details = cause.cause.iter().fold(details, |details, cause| details.with("cause", cause));
    cause.document.iter().fold(details, |details, document| details.with("remedy_document", document))
}

/// The cause that a check found. A fault of the service, and a refusal that passes by itself, come with a retry
/// delay.
pub(super) fn explained_details(
    cause: &Check,
    answer: &AwsErrorDetails,
    repetition: Repetition,
) -> StatusDetails {
    if cause.reason() == Some(Reason::ServiceMisconfigured) {
        let details = StatusDetails::new(format!("{}: {}", cause.detail, cause.remedy));
        let details = details.with("check", cause.name.as_str()).with_retry(OPERATOR_RETRY);
        return cause.cause.iter().fold(details, |details, cause| details.with("cause", cause));
    }
    let details = diagnosis_details(cause, answer);
    if repetition == Repetition::Advised { details.with_retry(APPLYING_RETRY) } else { details }
}

/// The role cannot be assumed.
pub(super) fn role_details(refusal: AssumeRoleRefusal, answer: &AwsErrorDetails) -> StatusDetails {
    diagnosis_details(&diagnosis::role_not_assumable(refusal, &answer.message), answer)
}

/// A fault of the service itself. The caller gets nothing that AWS says about the service.
pub(super) fn service_fault_details(fault: ServiceFault) -> StatusDetails {
    let cause = diagnosis::service_misconfigured(fault, false);
    StatusDetails::new(format!("{}: {}", cause.detail, cause.remedy))
        .with("cause", fault.as_str())
        .with_retry(OPERATOR_RETRY)
}

/// A policy denies a read, whose role and resource the error does not have.
fn denial_details(denial: AccessDenial, answer: &AwsErrorDetails) -> StatusDetails {
    let what = match denial.action {
        DeniedAction::Kms => "may not use the key",
        DeniedAction::Logs | DeniedAction::Other => "may not make this call",
    };
    let verb = if denial.explicit { "has a deny" } else { "does not allow it" };
    let (policy, remedy) = match denial.by {
        DenyingPolicy::Session => return service_fault_details(ServiceFault::SessionPolicy),
        DenyingPolicy::VpcEndpoint => return service_fault_details(ServiceFault::VpcEndpointPolicy),
        DenyingPolicy::ServiceControl => (
            "a service control policy of your AWS organization",
            "ask the administrators of the organization to allow it for the role",
        ),
        DenyingPolicy::ResourceControl => (
            "a resource control policy of your AWS organization",
            "ask the administrators of the organization to allow it for the role",
        ),
        DenyingPolicy::PermissionsBoundary => {
            ("the permissions boundary of the role", "change the permissions boundary")
        }
        DenyingPolicy::Resource => ("the policy of the key", "change the policy of the key"),
        DenyingPolicy::Identity | DenyingPolicy::Unspecified if denial.explicit => {
            ("a policy of the role", "remove the deny; it overrides every allow")
        }
        DenyingPolicy::Identity | DenyingPolicy::Unspecified => (
            "the policy of the role",
            "compare it with the one in the response of GetOnboarding, and add what is missing",
        ),
    };
    let details = StatusDetails::new(format!(
        "the role that this service assumes {what}, because {policy} {verb}: {remedy}"
    ))
    .with_precondition(denial.reason().as_str(), remedy)
    .with_aws_error(answer);
    if denial.by == DenyingPolicy::Unspecified { details } else { details.with("cause", denial.by.as_str()) }
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
        Refusal::Denied(denial) => return denial_details(denial, answer),
        Refusal::RegionNotEnabled => StatusDetails::new(
            "AWS does not know the session of the role in this Region, so the account has probably not enabled the Region: enable it (account:EnableRegion), or use another Region",
        )
        .with_precondition("REGION_NOT_ENABLED", "enable the Region in the account"),
        Refusal::AccountNotSubscribed => StatusDetails::new(
            "the account is not signed up for the AWS service in this Region, or is suspended: complete its registration with AWS, or contact AWS Support",
        )
        .with_precondition("ACCOUNT_NOT_SUBSCRIBED", "complete the registration of the account"),
        Refusal::Parameter | Refusal::Other => {
            StatusDetails::new("AWS refused the call with this message: ").with_aws_message(answer)
        }
    };
    details.with_aws_error(answer)
}
