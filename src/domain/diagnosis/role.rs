//! Checks of the role's permissions. They use IAM's policy simulation and, for a key, also the key's policy.

#[cfg(test)]
mod tests;

use super::{
    check::{Check, CheckName, Lookup},
    severity::{AccessEvaluation, DenialCause, Severity, failed, inconclusive, worst},
    simulation::decision_for,
};
use crate::domain::{
    arn::KmsKeyArn,
    association::Resource,
    aws::RoleArn,
    key_policy::{KeyPolicy, PrincipalAccess, REQUIRED_ACTIONS, role_call_lacks},
    policy_simulation::{SimulationDecision, SimulationResult},
    reason::Reason,
    remedy,
};

/// A role, and the key that it uses for a resource.
#[derive(Clone, Copy, Debug)]
pub struct Kms<'k> {
    /// The role to check.
    pub role: &'k RoleArn,
    /// The key to use.
    pub key: &'k KmsKeyArn,
    /// The resource to encrypt.
    pub resource: &'k Resource,
}

/// Whether the role may use the key through `CloudWatch` Logs, according to its own policies and the key's
/// policy.
#[must_use]
pub fn role_kms(kms: Kms<'_>, policy: &Lookup<Box<str>>, simulated: &Lookup<Vec<SimulationResult>>) -> Check {
    let policy = Policy::read(policy);
    let is_absent = |name: &str| role_call_lacks(kms.key, kms.role, kms.resource, name);
    let evaluations = REQUIRED_ACTIONS.map(|action| {
        let decision = decision_for(simulated, action, kms.key.as_str(), &is_absent);
        let evaluation = if kms.key.account() == kms.role.account() {
            same_account(decision, policy.classify(kms, action))
        } else {
            cross_account(decision, kms.key)
        };
        (action, evaluation)
    });
    let name = CheckName::RoleKmsPermission;
    let what = "use the key through CloudWatch Logs";
    match worst(evaluations) {
        Severity::Allowed => Check::passed(name, format!("the role may {what}")),
        Severity::Inconclusive(reason) => inconclusive(name, what, &reason, kms.role, simulated),
        Severity::Denied(cause, actions) => {
            let document = match cause {
                DenialCause::NotAllowed => Some(remedy::role_kms_statement(kms.key, kms.resource)),
                DenialCause::NotInKeyPolicy => {
                    Some(remedy::key_policy_role_statement(kms.role, kms.resource))
                }
                DenialCause::Denied | DenialCause::Organization | DenialCause::DeniedByKey(_) => None,
            };
            failed(name, Reason::RoleLacksKmsPermission, &cause, &actions, document.as_ref())
        }
    }
}

/// Evaluates an action on a key of the role's own account.
fn same_account(decision: Result<SimulationDecision, String>, access: PrincipalAccess) -> AccessEvaluation {
    match (access, decision) {
        (PrincipalAccess::Denied { statement }, _) => {
            AccessEvaluation::Denied(DenialCause::DeniedByKey(statement))
        }
        (PrincipalAccess::NotMentioned, _) => AccessEvaluation::Denied(DenialCause::NotInKeyPolicy),
        (_, Ok(SimulationDecision::Denied)) => AccessEvaluation::Denied(DenialCause::Denied),
        (_, Ok(SimulationDecision::DeniedByOrganization)) => {
            AccessEvaluation::Denied(DenialCause::Organization)
        }
        (
            PrincipalAccess::Named | PrincipalAccess::Delegated | PrincipalAccess::Unclear { .. },
            Err(reason),
        )
        | (
            PrincipalAccess::Unclear { reason },
            Ok(SimulationDecision::Allowed | SimulationDecision::NotAllowed),
        ) => AccessEvaluation::Inconclusive(reason),
        (PrincipalAccess::Named, Ok(SimulationDecision::Allowed | SimulationDecision::NotAllowed))
        | (PrincipalAccess::Delegated, Ok(SimulationDecision::Allowed)) => AccessEvaluation::Allowed,
        (PrincipalAccess::Delegated, Ok(SimulationDecision::NotAllowed)) => {
            AccessEvaluation::Denied(DenialCause::NotAllowed)
        }
    }
}

/// Evaluates an action on a key of another account. Both accounts have to allow it, and the key's policy in
/// the other account cannot be read.
fn cross_account(decision: Result<SimulationDecision, String>, key: &KmsKeyArn) -> AccessEvaluation {
    match decision {
        Ok(SimulationDecision::NotAllowed) => AccessEvaluation::Denied(DenialCause::NotAllowed),
        Ok(SimulationDecision::Denied) => AccessEvaluation::Denied(DenialCause::Denied),
        Ok(SimulationDecision::DeniedByOrganization) => AccessEvaluation::Denied(DenialCause::Organization),
        Ok(SimulationDecision::Allowed) => AccessEvaluation::Inconclusive(format!(
            "the key belongs to account {}, and KMS returns a key policy only to the key's own account",
            key.account()
        )),
        Err(reason) => AccessEvaluation::Inconclusive(reason),
    }
}

/// The key's policy, or why it cannot be used.
enum Policy {
    Readable(KeyPolicy),
    Unclear(String),
}

// === impl Policy ===

impl Policy {
    fn read(lookup: &Lookup<Box<str>>) -> Self {
        match lookup {
            Lookup::Found(text) => match KeyPolicy::parse(text) {
                Ok(policy) => Self::Readable(policy),
                Err(unreadable) => Self::Unclear(unreadable.to_string()),
            },
            Lookup::Absent => Self::Unclear("KMS has no policy for the key".to_owned()),
            Lookup::Unknown(reason) => {
                Self::Unclear(format!("the key's policy was not read because {reason}"))
            }
        }
    }

    fn classify(&self, kms: Kms<'_>, action: &'static str) -> PrincipalAccess {
        match self {
            Self::Readable(policy) => policy.principal_access(kms.key, kms.role, kms.resource, action),
            Self::Unclear(reason) => PrincipalAccess::Unclear { reason: reason.clone() },
        }
    }
}
