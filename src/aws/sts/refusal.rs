//! What a refusal by STS means, and whether the tenant or the operator can change it. The errors are those of
//! [`AssumeRole`](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html), its common errors,
//! and the wording of [denials](https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html).

#[cfg(test)]
mod tests;

use std::{error::Error, sync::Arc, time::Duration};

use aws_credential_types::provider::error::CredentialsError;

use super::session_error::SessionError;
use crate::{
    aws::refusal::{ACCESS_DENIED, NOT_SUBSCRIBED, UNKNOWN_TOKEN, request_fault},
    domain::{
        aws::{Partition, Region, RoleArn},
        refusal::{AccessDenial, AssumeRoleRefusal, DenyingPolicy, RoleAction, ServiceFault},
    },
    ports::aws::AwsErrorDetails,
};

/// The error codes of expired credentials.
const EXPIRED: &[&str] = &["ExpiredToken", "ExpiredTokenException"];

/// What the service requests from STS.
#[derive(Clone, Copy)]
pub(super) struct Requested<'a> {
    pub(super) role: &'a RoleArn,
    /// The Region of the STS endpoint.
    pub(super) region: &'a Region,
    /// The length of the session.
    pub(super) duration: Duration,
}

/// Classifies a refusal by STS.
pub(super) fn session_error(answer: AwsErrorDetails, requested: Requested<'_>) -> SessionError {
    match service_fault(&answer, requested) {
        Some(fault) => SessionError::Misconfigured { fault, answer },
        None => SessionError::Refused { refusal: refusal(&answer, requested.duration), answer },
    }
}

/// The fault of the service's own credentials or calls, whichever role it assumes.
pub(in crate::aws) fn identity_fault(answer: &AwsErrorDetails) -> Option<ServiceFault> {
    let code = &*answer.code;
    if EXPIRED.contains(&code) {
        Some(ServiceFault::CredentialsExpired)
    } else if UNKNOWN_TOKEN.contains(&code) {
        Some(ServiceFault::CredentialsInvalid)
    } else if NOT_SUBSCRIBED.contains(&code) {
        Some(ServiceFault::AccountNotActive)
    } else {
        request_fault(code, &answer.message)
    }
}

fn service_fault(answer: &AwsErrorDetails, requested: Requested<'_>) -> Option<ServiceFault> {
    let (code, message) = (&*answer.code, &*answer.message);
    match code {
        code if ACCESS_DENIED.contains(&code) => denied_to_service(message, requested),
        "PackedPolicyTooLarge" | "PackedPolicyTooLargeException" => Some(ServiceFault::SessionPolicyTooLarge),
        "MalformedPolicyDocument" | "MalformedPolicyDocumentException" => Some(ServiceFault::SessionPolicy),
        // AWS's message names the account for which STS is not active.
        "RegionDisabled" | "RegionDisabledException" => {
            let names_other =
                message.contains("account") && !message.contains(requested.role.account().as_str());
            let has_account = message.bytes().filter(u8::is_ascii_digit).count() >= 12;
            (names_other && has_account).then_some(ServiceFault::StsRegionDisabled)
        }
        "ValidationError"
        | "ValidationException"
        | "InvalidParameterValue"
        | "InvalidParameterCombination"
        | "MissingParameter" => {
            if message.contains("MaxSessionDuration") {
                None
            } else if message.contains("role chaining") {
                Some(ServiceFault::SessionDuration)
            } else {
                Some(ServiceFault::AssumeRoleRequest)
            }
        }
        _ => identity_fault(answer),
    }
}

/// The fault behind a denial, if a policy of the service's own account or network denies.
fn denied_to_service(message: &str, Requested { role, region, .. }: Requested<'_>) -> Option<ServiceFault> {
    if message.contains("root account") {
        return Some(ServiceFault::RootCredentials);
    }
    match AccessDenial::parse(message).by {
        DenyingPolicy::Identity | DenyingPolicy::PermissionsBoundary | DenyingPolicy::Session => {
            Some(ServiceFault::AssumeRoleNotAllowed)
        }
        // Service control policies limit the caller's account, here the service's own.
        DenyingPolicy::ServiceControl => Some(ServiceFault::AssumeRoleDeniedByOrganization),
        DenyingPolicy::VpcEndpoint => Some(ServiceFault::VpcEndpointPolicy),
        DenyingPolicy::Unspecified if role.partition() != Partition::of(region) => {
            Some(ServiceFault::Partition)
        }
        DenyingPolicy::Unspecified | DenyingPolicy::Resource | DenyingPolicy::ResourceControl => None,
    }
}

fn refusal(answer: &AwsErrorDetails, requested: Duration) -> AssumeRoleRefusal {
    let (code, message) = (&*answer.code, &*answer.message);
    if message.contains("MaxSessionDuration") {
        return AssumeRoleRefusal::SessionTooLong { requested };
    }
    if code.starts_with("RegionDisabled") {
        return AssumeRoleRefusal::RegionDisabled;
    }
    if !ACCESS_DENIED.contains(&code) {
        return AssumeRoleRefusal::Other;
    }
    let (denial, action) = (AccessDenial::parse(message), RoleAction::parse(message));
    match denial.by {
        DenyingPolicy::ResourceControl => AssumeRoleRefusal::Organization,
        DenyingPolicy::Resource if denial.explicit => AssumeRoleRefusal::TrustPolicyDenies(action),
        DenyingPolicy::Resource => AssumeRoleRefusal::TrustPolicyLacks(action),
        DenyingPolicy::Unspecified
        | DenyingPolicy::Identity
        | DenyingPolicy::PermissionsBoundary
        | DenyingPolicy::Session
        | DenyingPolicy::ServiceControl
        | DenyingPolicy::VpcEndpoint => AssumeRoleRefusal::Denied(action),
    }
}

/// The error for a call that was not sent, if that is because the service has no credentials.
pub(in crate::aws) fn credentials_error(error: &(dyn Error + 'static)) -> Option<ServiceFault> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<CredentialsError>() {
            return Some(credentials_fault(error));
        }
        next = error.source();
    }
    None
}

/// What the failure of the source of credentials means.
pub(in crate::aws) fn credentials_fault(error: &CredentialsError) -> ServiceFault {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => ServiceFault::CredentialsMissing,
        CredentialsError::ProviderTimedOut(_)
        | CredentialsError::InvalidConfiguration(_)
        | CredentialsError::ProviderError(_)
        | CredentialsError::Unhandled(_)
        | _ => ServiceFault::CredentialsUnavailable,
    }
}

/// The session error of a call that was not sent.
pub(super) fn not_sent(source: Box<dyn Error + Send + Sync>) -> SessionError {
    let source: Arc<dyn Error + Send + Sync> = source.into();
    match credentials_error(&*source) {
        Some(fault) => SessionError::NoCredentials { fault, source },
        None => SessionError::Unreachable(source),
    }
}
