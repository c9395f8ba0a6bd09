//! Checks whose outcome is a refusal of AWS: what it means, whose matter it is, and how to repair it.

#[cfg(test)]
mod tests;

use serde_json::Value;

use super::check::{Check, CheckName};
use crate::domain::{
    arn::KmsKeyArn,
    association::{Location, Resource},
    aws::RoleArn,
    reason::Reason,
    refusal::{
        AccessDenial, AssumeRoleRefusal, DeniedAction, DenyingPolicy, RoleAction, ServiceFault,
        refused_principal,
    },
    remedy,
};

/// What a tenant can do about a fault of the service.
const ASK_OPERATOR: &str =
    "only the operator of this service can repair this: report it with the request id, and retry later";

/// The failed check of a fault of the service itself. It does not tell the tenant how the service is set up.
/// `assumed` is whether the role was assumed before.
#[must_use]
pub fn service_misconfigured(fault: ServiceFault, assumed: bool) -> Check {
    let name = if assumed { CheckName::ServiceAccess } else { CheckName::RoleAssumable };
    Check::failed(name, Reason::ServiceMisconfigured, fault.to_string(), ASK_OPERATOR)
        .with_cause(fault.as_str())
}

/// The failed check of an account that has not enabled the Region.
#[must_use]
pub fn region_not_enabled(location: &Location) -> Check {
    let Location { account, region } = location;
    Check::failed(
        CheckName::RegionEnabled,
        Reason::RegionNotEnabled,
        format!(
            "AWS does not know the session of the role in {region}, so account {account} has probably not enabled this Region"
        ),
        format!(
            "enable {region} in account {account} (account:EnableRegion, which takes some minutes to some hours), or use another Region"
        ),
    )
}

/// The failed check of an account that is not signed up for the AWS service.
#[must_use]
pub fn account_not_subscribed(location: &Location) -> Check {
    let Location { account, region } = location;
    Check::failed(
        CheckName::RegionEnabled,
        Reason::AccountNotSubscribed,
        format!("account {account} is not signed up for the AWS service in {region}, or is suspended"),
        "complete the registration of the account with AWS, or contact AWS Support",
    )
}

/// The failed check of a role that the service cannot assume. If STS's message names the service identity, it has the
/// statements that the trust policy probably lacks.
#[must_use]
pub fn role_not_assumable(refusal: AssumeRoleRefusal, message: &str) -> Check {
    let (detail, remedy) = match refusal {
        AssumeRoleRefusal::Denied(RoleAction::AssumeRole) => (
            "STS denies this service the account's role, and does not say which policy denies it".to_owned(),
            "check that the role exists, and that its trust policy allows this service's own role sts:AssumeRole and sts:TagSession with the agreed external id, as in the response of GetOnboarding; if it does, ask the operator of this service whether its own role may assume yours".to_owned(),
        ),
        AssumeRoleRefusal::TrustPolicyLacks(RoleAction::AssumeRole) => (
            "the trust policy of the account's role does not allow this service to assume it".to_owned(),
            "in the role's trust policy, allow this service's own role sts:AssumeRole and sts:TagSession with the agreed external id, as in the response of GetOnboarding".to_owned(),
        ),
        AssumeRoleRefusal::Denied(action) => (
            format!("STS denies this service {} on the account's role, so the role's trust policy probably lacks it", action.as_str()),
            add_action(action),
        ),
        AssumeRoleRefusal::TrustPolicyLacks(action) => (
            format!("the trust policy of the account's role does not allow this service {}", action.as_str()),
            add_action(action),
        ),
        AssumeRoleRefusal::TrustPolicyDenies(action) => (
            format!("a statement of the role's trust policy denies this service {}", action.as_str()),
            "exclude this service's own role from that statement; a deny overrides every allow".to_owned(),
        ),
        AssumeRoleRefusal::Organization => (
            "a resource control policy of your AWS organization denies this service the account's role"
                .to_owned(),
            "ask the administrators of the organization to exclude this service's own role".to_owned(),
        ),
        AssumeRoleRefusal::SessionTooLong { requested } => {
            let seconds = requested.as_secs();
            (
                format!("this service requests sessions of {seconds} s, which is longer than the MaxSessionDuration of the account's role"),
                format!("set MaxSessionDuration of the role to at least {seconds}, or ask the operator of this service for shorter sessions"),
            )
        }
        AssumeRoleRefusal::RegionDisabled => (
            "STS is not active for the account of the role in the Region of this service".to_owned(),
            "activate STS for that Region in the account settings of IAM, or ask the operator of this service to use another Region".to_owned(),
        ),
        AssumeRoleRefusal::Other => (
            "STS refuses to let this service assume the account's role, with an error that this service does not know".to_owned(),
            "read the message of AWS".to_owned(),
        ),
    };
    let check = Check::failed(CheckName::RoleAssumable, refusal.reason(), detail, remedy.clone())
        .with_cause(refusal.as_str());
    match (refusal.missing_action(), refused_principal(message)) {
        (Some(action), Some(service)) => {
            let remedy = match action {
                RoleAction::AssumeRole => {
                    format!(
                        "{remedy}; in the statement, write the agreed external id for {}",
                        remedy::EXTERNAL_ID
                    )
                }
                RoleAction::TagSession | RoleAction::SetSourceIdentity => remedy,
            };
            check.with_document(remedy, &remedy::trust_policy_statements(action, &service))
        }
        (None, _) | (Some(_), None) => check,
    }
}

fn add_action(action: RoleAction) -> String {
    format!(
        "in the role's trust policy, allow this service's own role {}, as in the response of GetOnboarding",
        action.as_str()
    )
}

/// A denial of a call of the assumed role.
#[derive(Clone, Copy, Debug)]
pub struct Denied<'d> {
    /// What AWS's message says.
    pub denial: AccessDenial,
    /// The assumed role.
    pub role: &'d RoleArn,
    /// The resource of the call.
    pub resource: &'d Resource,
    /// The key of the call, if it has one.
    pub key: Option<&'d KmsKeyArn>,
}

/// The failed check of a call that a policy denies. Adding a statement is the remedy only where a policy lacks
/// one, and only in that policy.
#[must_use]
pub fn denied(denied: Denied<'_>) -> Check {
    let Denied { denial: AccessDenial { action, by, explicit }, role, resource, key } = denied;
    let (name, what) = match action {
        DeniedAction::Kms => (CheckName::RoleKmsPermission, "the use of the key"),
        DeniedAction::Logs => (CheckName::RoleLogsPermission, "the call"),
        DeniedAction::Other => (CheckName::RoleLogsPermission, "a call"),
    };
    let detail_of = |policy: &str| {
        if explicit {
            format!("{policy} denies the role that this service assumes {what}")
        } else {
            format!("{policy} does not allow the role that this service assumes {what}")
        }
    };
    let overrides = "a deny overrides every allow";
    let (detail, remedy, may_add) = match by {
        DenyingPolicy::Session => return service_misconfigured(ServiceFault::SessionPolicy, true),
        DenyingPolicy::VpcEndpoint => return service_misconfigured(ServiceFault::VpcEndpointPolicy, true),
        DenyingPolicy::ServiceControl | DenyingPolicy::ResourceControl => {
            let policy = if by == DenyingPolicy::ServiceControl {
                "a service control policy of your AWS organization"
            } else {
                "a resource control policy of your AWS organization"
            };
            let remedy = format!("ask the administrators of the organization to allow it for {role}");
            (detail_of(policy), remedy, false)
        }
        DenyingPolicy::PermissionsBoundary if explicit => (
            detail_of("the permissions boundary of the role"),
            format!("remove the deny from the permissions boundary of {role}; {overrides}"),
            false,
        ),
        DenyingPolicy::PermissionsBoundary => (
            detail_of("the permissions boundary of the role"),
            format!(
                "add this statement to the permissions boundary of {role}; a statement in the role's own policy does not help"
            ),
            true,
        ),
        DenyingPolicy::Resource if explicit => (
            detail_of("a statement of the key's policy"),
            format!("exclude {role} from that statement of the key's policy; {overrides}"),
            false,
        ),
        DenyingPolicy::Resource => {
            let remedy =
                "add this statement to the key's policy (kms:PutKeyPolicy) and keep the existing statements";
            let check = failed(denied, name, detail_of("the key's policy"), remedy.to_owned());
            let document = remedy::key_policy_role_statement(role, resource);
            return if key.is_some() { check.with_document(remedy, &document) } else { check };
        }
        DenyingPolicy::Identity | DenyingPolicy::Unspecified if explicit => (
            detail_of("a statement in a policy of the role"),
            format!("remove the deny from the policies of {role}; {overrides}"),
            false,
        ),
        DenyingPolicy::Identity | DenyingPolicy::Unspecified => {
            let remedy = if action == DeniedAction::Kms {
                "add this statement to the role's policy; the key's policy must let the account's own policies decide, or name the role"
            } else {
                "add this statement to the role's policy"
            };
            let detail = format!("no policy of the role that this service assumes allows {what}");
            (detail, remedy.to_owned(), true)
        }
    };
    let check = failed(denied, name, detail, remedy.clone());
    match (may_add, action, key) {
        (true, DeniedAction::Kms, Some(key)) => {
            check.with_document(remedy, &remedy::role_kms_statement(key, resource))
        }
        (true, DeniedAction::Logs, _) => check.with_document(remedy, &remedy::role_logs_statement(resource)),
        _ => check,
    }
}

impl Check {
    /// The same check with what repairs a read that AWS denied with this message. `remedy` and `document` are for the
    /// usual case, that the role's own policy lacks a statement. No statement overrides a deny.
    #[must_use]
    pub fn with_remedy_for(self, message: &str, remedy: &str, document: &Value) -> Self {
        let AccessDenial { by, explicit, .. } = AccessDenial::parse(message);
        let other = match by {
            DenyingPolicy::Session | DenyingPolicy::VpcEndpoint => ASK_OPERATOR,
            DenyingPolicy::ServiceControl | DenyingPolicy::ResourceControl => {
                "ask the administrators of your AWS organization to allow the role this"
            }
            DenyingPolicy::PermissionsBoundary if explicit => {
                "remove the deny from the permissions boundary of the role; a deny overrides every allow"
            }
            DenyingPolicy::PermissionsBoundary => {
                let remedy = "add this statement to the permissions boundary of the role; one in the role's own policy does not help";
                return self.with_document(remedy, document);
            }
            DenyingPolicy::Resource if explicit => {
                "exclude the role from the deny in the key's policy; a deny overrides every allow"
            }
            DenyingPolicy::Resource => "allow the role this action in the key's policy (kms:PutKeyPolicy)",
            DenyingPolicy::Identity | DenyingPolicy::Unspecified if explicit => {
                "remove the deny from the policies of the role; a deny overrides every allow"
            }
            DenyingPolicy::Identity | DenyingPolicy::Unspecified => {
                return self.with_document(remedy, document);
            }
        };
        Self { remedy: other.to_owned(), ..self }
    }
}

fn failed(denied: Denied<'_>, name: CheckName, detail: String, remedy: String) -> Check {
    let AccessDenial { by, .. } = denied.denial;
    let check = Check::failed(name, denied.denial.reason(), detail, remedy);
    if by == DenyingPolicy::Unspecified { check } else { check.with_cause(by.as_str()) }
}
