//! Why STS does not let the service assume a tenant's role, if only the tenant can change that.

use std::time::Duration;

use super::denial::denied_action;
use crate::domain::reason::Reason;

/// Why a role cannot be assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssumeRoleRefusal {
    /// STS denies the action and does not say which policy denies it. The role may also not exist.
    Denied(RoleAction),
    /// The role's trust policy does not allow the action.
    TrustPolicyLacks(RoleAction),
    /// The role's trust policy denies the action.
    TrustPolicyDenies(RoleAction),
    /// A resource control policy of the role's organization denies the call.
    Organization,
    /// The session would last longer than the role's `MaxSessionDuration`.
    SessionTooLong {
        /// The length of the session that the service requests.
        requested: Duration,
    },
    /// STS is not active in the service's Region for the role's account.
    RegionDisabled,
    /// STS refused with an error that is not known.
    Other,
}

/// The actions that an `AssumeRole` call needs: itself, and one for each of the session's tag and source
/// identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleAction {
    /// `sts:AssumeRole`.
    AssumeRole,
    /// `sts:TagSession`, because the session has a tag.
    TagSession,
    /// `sts:SetSourceIdentity`, if sessions carry the caller's name.
    SetSourceIdentity,
}

// === impl AssumeRoleRefusal ===

impl AssumeRoleRefusal {
    /// The reason of a call that needs the role.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::Organization => Reason::DeniedByOrganization,
            Self::SessionTooLong { .. } => Reason::RoleSessionTooLong,
            Self::RegionDisabled => Reason::RegionNotEnabled,
            Self::Denied(_) | Self::TrustPolicyLacks(_) | Self::TrustPolicyDenies(_) | Self::Other => {
                Reason::RoleNotAssumable
            }
        }
    }

    /// The action that the trust policy probably lacks.
    #[must_use]
    pub fn missing_action(self) -> Option<RoleAction> {
        match self {
            Self::Denied(action) | Self::TrustPolicyLacks(action) => Some(action),
            Self::TrustPolicyDenies(_)
            | Self::Organization
            | Self::SessionTooLong { .. }
            | Self::RegionDisabled
            | Self::Other => None,
        }
    }

    /// The cause in the metadata of errors. It never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied(RoleAction::AssumeRole) => "ASSUME_ROLE_DENIED",
            Self::TrustPolicyLacks(RoleAction::AssumeRole) => "TRUST_POLICY_LACKS_SERVICE",
            Self::Denied(RoleAction::TagSession) | Self::TrustPolicyLacks(RoleAction::TagSession) => {
                "TRUST_POLICY_LACKS_TAG_SESSION"
            }
            Self::Denied(RoleAction::SetSourceIdentity)
            | Self::TrustPolicyLacks(RoleAction::SetSourceIdentity) => {
                "TRUST_POLICY_LACKS_SET_SOURCE_IDENTITY"
            }
            Self::TrustPolicyDenies(_) => "TRUST_POLICY_DENIES",
            Self::Organization => "RESOURCE_CONTROL_POLICY",
            Self::SessionTooLong { .. } => "MAX_SESSION_DURATION",
            Self::RegionDisabled => "STS_REGION_DISABLED",
            Self::Other => "UNKNOWN",
        }
    }
}

// === impl RoleAction ===

impl RoleAction {
    /// The denied action that AWS's message names; `sts:AssumeRole` if it names none.
    #[must_use]
    pub fn parse(message: &str) -> Self {
        match denied_action(message) {
            Some("sts:TagSession") => Self::TagSession,
            Some("sts:SetSourceIdentity") => Self::SetSourceIdentity,
            Some(_) | None => Self::AssumeRole,
        }
    }

    /// The name of the action in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AssumeRole => "sts:AssumeRole",
            Self::TagSession => "sts:TagSession",
            Self::SetSourceIdentity => "sts:SetSourceIdentity",
        }
    }
}

/// The service identity as a trust policy must name it, if STS's message names it: "User: ARN is not authorized to
/// perform" (<https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>).
#[must_use]
pub fn refused_principal(message: &str) -> Option<String> {
    let arn = message.strip_prefix("User: ")?.split(' ').next()?;
    (arn.starts_with("arn:") && arn.split(':').count() == 6).then(|| trusted_principal(arn))
}

/// The principal that a trust policy must name for this ARN: for a session, its role. The ARN of a session
/// does not contain the path of its role.
#[must_use]
pub fn trusted_principal(arn: &str) -> String {
    let role = arn.split_once(":assumed-role/").and_then(|(before, session)| {
        let (name, _) = session.split_once('/')?;
        Some(format!("{}:role/{name}", before.replace(":sts:", ":iam:")))
    });
    role.unwrap_or_else(|| arn.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_principal_of_a_session_is_its_role() {
        let session = "arn:aws:sts::999999999999:assumed-role/LogKeyHub/i-123";
        assert_eq!(trusted_principal(session), "arn:aws:iam::999999999999:role/LogKeyHub");
        let user = "arn:aws:iam::999999999999:user/logkey";
        assert_eq!(trusted_principal(user), user);
    }

    #[test]
    fn the_principal_is_taken_only_from_a_message_that_names_an_arn() {
        let message = |user: &str| format!("User: {user} is not authorized to perform: sts:AssumeRole on x");
        let session = message("arn:aws:sts::999999999999:assumed-role/LogKeyHub/i-123");
        assert_eq!(refused_principal(&session).as_deref(), Some("arn:aws:iam::999999999999:role/LogKeyHub"));
        for other in [message("anonymous"), message("arn:aws"), "Access denied".to_owned(), String::new()] {
            assert_eq!(refused_principal(&other), None, "{other}");
        }
    }
}
