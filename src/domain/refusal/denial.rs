//! Which policy denies a call. AWS names the type of one policy in most messages, and whether that policy
//! lacks an allow or has a deny:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>.

#[cfg(test)]
mod tests;

use super::service_fault::ServiceFault;
use crate::domain::reason::Reason;

/// A denial, as far as AWS's message describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessDenial {
    /// The action that is denied.
    pub action: DeniedAction,
    /// The policy that denies it.
    pub by: DenyingPolicy,
    /// Whether the policy has a deny. Otherwise it has no allow.
    pub explicit: bool,
}

/// The service of the denied action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeniedAction {
    /// An action of KMS.
    Kms,
    /// An action of `CloudWatch` Logs.
    Logs,
    /// An action of another service.
    Other,
}

/// The type of the policy that denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyingPolicy {
    /// AWS's message does not name the policy.
    Unspecified,
    /// A policy of the principal.
    Identity,
    /// A policy of the resource: for a key, the key's policy; for a role, its trust policy.
    Resource,
    /// The permissions boundary of the principal.
    PermissionsBoundary,
    /// The policy of the session.
    Session,
    /// A service control policy of the principal's organization.
    ServiceControl,
    /// A resource control policy of the resource's organization.
    ResourceControl,
    /// The policy of the VPC endpoint that the service calls through.
    VpcEndpoint,
}

// === impl AccessDenial ===

impl AccessDenial {
    /// A denial of an action without further details.
    #[must_use]
    pub const fn of(action: DeniedAction) -> Self {
        Self { action, by: DenyingPolicy::Unspecified, explicit: false }
    }

    /// Reads AWS's message.
    #[must_use]
    pub fn parse(message: &str) -> Self {
        let action = denied_action(message).unwrap_or_default();
        let action = match action.split(':').next().unwrap_or_default() {
            "kms" => DeniedAction::Kms,
            "logs" => DeniedAction::Logs,
            _ => DeniedAction::Other,
        };
        Self { action, by: DenyingPolicy::parse(message), explicit: message.contains(EXPLICIT) }
    }

    /// The reason of a call of an assumed role that is denied.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self.by {
            DenyingPolicy::ServiceControl | DenyingPolicy::ResourceControl => Reason::DeniedByOrganization,
            DenyingPolicy::Session | DenyingPolicy::VpcEndpoint => Reason::ServiceMisconfigured,
            DenyingPolicy::Unspecified
            | DenyingPolicy::Identity
            | DenyingPolicy::Resource
            | DenyingPolicy::PermissionsBoundary => match self.action {
                DeniedAction::Kms => Reason::RoleLacksKmsPermission,
                DeniedAction::Logs => Reason::RoleLacksLogsPermission,
                DeniedAction::Other => Reason::KeyNotUsable,
            },
        }
    }
}

/// How AWS words a deny.
const EXPLICIT: &str = "with an explicit deny";

/// The action in "is not authorized to perform: ACTION".
pub(super) fn denied_action(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("not authorized to perform: ")?;
    rest.split([' ', ',']).next()
}

// === impl DeniedAction ===

impl DeniedAction {
    /// Every service.
    pub const ALL: [Self; 3] = [Self::Kms, Self::Logs, Self::Other];
}

// === impl DenyingPolicy ===

impl DenyingPolicy {
    /// Every type.
    pub const ALL: [Self; 8] = [
        Self::Unspecified,
        Self::Identity,
        Self::Resource,
        Self::PermissionsBoundary,
        Self::Session,
        Self::ServiceControl,
        Self::ResourceControl,
        Self::VpcEndpoint,
    ];

    /// The cause in the metadata of errors, and in stored responses. It never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED_POLICY",
            Self::Identity => "IDENTITY_POLICY",
            Self::Resource => "RESOURCE_POLICY",
            Self::PermissionsBoundary => "PERMISSIONS_BOUNDARY",
            Self::Session => "SESSION_POLICY",
            Self::ServiceControl => "SERVICE_CONTROL_POLICY",
            Self::ResourceControl => "RESOURCE_CONTROL_POLICY",
            Self::VpcEndpoint => "VPC_ENDPOINT_POLICY",
        }
    }

    /// The fault of the service, if the policy is the operator's: the session policy, and the network's.
    #[must_use]
    pub fn service_fault(self) -> Option<ServiceFault> {
        match self {
            Self::Session => Some(ServiceFault::SessionPolicy),
            Self::VpcEndpoint => Some(ServiceFault::VpcEndpointPolicy),
            Self::Unspecified
            | Self::Identity
            | Self::Resource
            | Self::PermissionsBoundary
            | Self::ServiceControl
            | Self::ResourceControl => None,
        }
    }

    /// Reads the end of AWS's message, after the resource.
    fn parse(message: &str) -> Self {
        let end = ["because ", EXPLICIT].iter().find_map(|start| message.split_once(start));
        let end = end.map(|(_, end)| end.to_ascii_lowercase()).unwrap_or_default();
        let policies = [
            ("vpc endpoint polic", Self::VpcEndpoint),
            ("service control polic", Self::ServiceControl),
            ("resource control polic", Self::ResourceControl),
            ("permissions boundar", Self::PermissionsBoundary),
            ("session polic", Self::Session),
            ("trust polic", Self::Resource),
            ("resource-based polic", Self::Resource),
            ("identity-based polic", Self::Identity),
        ];
        let found = policies.into_iter().find(|(words, _)| end.contains(words));
        found.map_or(Self::Unspecified, |(_, policy)| policy)
    }
}
