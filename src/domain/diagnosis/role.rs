//! Checks of the role's permissions. They use IAM's policy simulation and, for a key, also the key's policy.

#[cfg(test)]
mod tests;

use serde_json::Value;

use super::{Check, CheckName, Lookup};
use crate::domain::{
    arn::KmsKeyArn,
    association::{Resource, Target},
    aws::RoleArn,
    key_policy::{KeyPolicy, PrincipalAccess, REQUIRED_ACTIONS},
    policy_simulation::{SimulationDecision, SimulationRequest, SimulationResult, arn_forms},
    reason::Reason,
    remedy,
};

/// The evaluation of one action.
enum AccessEvaluation {
    /// AWS would allow it.
    Allowed,
    /// AWS would deny it.
    Denied(DenialCause),
    /// The result cannot be determined, for this reason.
    Inconclusive(String),
}

/// Why AWS would deny an action.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DenialCause {
    /// No policy of the role allows it.
    NotAllowed,
    /// A policy of the role denies it.
    Denied,
    /// A policy of the organization denies it.
    Organization,
    /// The key's policy neither names the role nor delegates to its account.
    NotInKeyPolicy,
    /// This statement of the key's policy denies it.
    DeniedByKey(String),
}

/// The combined evaluation of several actions.
enum Severity {
    Allowed,
    Inconclusive(String),
    Denied(DenialCause, Vec<&'static str>),
}

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
    let evaluations = REQUIRED_ACTIONS.map(|action| {
        let decision = decision_for(simulated, action, kms.key.as_str());
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

/// Whether the role may call `action` on the resource.
#[must_use]
pub fn role_logs(
    role: &RoleArn,
    resource: &Resource,
    action: &'static str,
    simulated: &Lookup<Vec<SimulationResult>>,
) -> Check {
    let what = match resource.target {
        Target::LogGroup(_) => "change the log group's key",
        Target::QueryResults => "change the key of query results",
    };
    let document = remedy::role_logs_statement(resource);
    changes_allowed(role, &[action], std::slice::from_ref(resource), simulated, what, &document)
}

/// Whether the role may call each of these actions on each of these resources.
#[must_use]
pub fn changes_allowed(
    role: &RoleArn,
    actions: &[&'static str],
    resources: &[Resource],
    simulated: &Lookup<Vec<SimulationResult>>,
    what: &str,
    document: &Value,
) -> Check {
    let name = CheckName::RoleLogsPermission;
    let pairs = actions.iter().flat_map(|action| resources.iter().map(|resource| (*action, resource)));
    let evaluations = pairs.map(|(action, resource)| {
        let forms = arn_forms(resource);
        let decisions = forms.iter().map(|form| decision_for(simulated, action, form));
        (action, any_arn_form(decisions.collect()))
    });
    match worst(evaluations) {
        Severity::Allowed => Check::passed(name, format!("the role may {what}")),
        Severity::Inconclusive(reason) => inconclusive(name, what, &reason, role, simulated),
        Severity::Denied(cause, actions) => {
            let document = (cause == DenialCause::NotAllowed).then_some(document);
            failed(name, Reason::RoleLacksLogsPermission, &cause, &actions, document)
        }
    }
}

/// Whether the role's own policies allow every action of `simulation` on every resource of it.
#[must_use]
pub fn simulation_allowed(
    name: CheckName,
    role: &RoleArn,
    simulation: &SimulationRequest,
    simulated: &Lookup<Vec<SimulationResult>>,
    what: &str,
    document: &Value,
) -> Check {
    let pairs = simulation
        .actions
        .iter()
        .flat_map(|action| simulation.resources.iter().map(move |resource| (*action, resource)));
    let evaluations = pairs
        .map(|(action, resource)| (action, any_arn_form(vec![decision_for(simulated, action, resource)])));
    match worst(evaluations) {
        Severity::Allowed => Check::passed(name, format!("the role's own policies allow it to {what}")),
        Severity::Inconclusive(reason) => inconclusive(name, what, &reason, role, simulated),
        Severity::Denied(cause, actions) => {
            let document = (cause == DenialCause::NotAllowed).then_some(document);
            failed(name, Reason::RoleLacksKmsPermission, &cause, &actions, document)
        }
    }
}

/// The simulator's decision on an action and a resource, or why there is none.
fn decision_for(
    simulated: &Lookup<Vec<SimulationResult>>,
    action: &str,
    resource: &str,
) -> Result<SimulationDecision, String> {
    let Lookup::Found(all) = simulated else { return Err("the action was not simulated".to_owned()) };
    let one = all.iter().find(|one| one.concerns(action, resource));
    let one = one.ok_or_else(|| format!("IAM returned no decision for {action}"))?;
    let missing: Vec<&str> =
        one.missing.iter().map(|key| &**key).filter(|key| is_relevant(key, action)).collect();
    if missing.is_empty() {
        Ok(one.decision)
    } else {
        Err(format!(
            "the decision depends on {}, which is known only when the call is made",
            missing.join(", ")
        ))
    }
}

/// Whether a call of `action` can have this condition key. IAM lists every condition key of the role's
/// policies, but a real call does not have the keys of other services.
fn is_relevant(key: &str, action: &str) -> bool {
    let service = |text: &str| text.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let service = (service(key), service(action));
    service.0 == "aws" || service.0 == service.1
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

/// Combines the decisions on all forms of one resource's ARN. AWS evaluates only one of them.
fn any_arn_form(decisions: Vec<Result<SimulationDecision, String>>) -> AccessEvaluation {
    let mut allowed = 0;
    let all = decisions.len();
    for decision in decisions {
        match decision {
            Ok(SimulationDecision::Allowed) => allowed += 1,
            Ok(SimulationDecision::NotAllowed) => {}
            Ok(SimulationDecision::Denied) => return AccessEvaluation::Denied(DenialCause::Denied),
            Ok(SimulationDecision::DeniedByOrganization) => {
                return AccessEvaluation::Denied(DenialCause::Organization);
            }
            Err(reason) => return AccessEvaluation::Inconclusive(reason),
        }
    }
    match allowed {
        0 => AccessEvaluation::Denied(DenialCause::NotAllowed),
        some if some == all => AccessEvaluation::Allowed,
        _ => AccessEvaluation::Inconclusive(
            "the role's policies match only one of the two forms of the log group's ARN, with or without a suffix, and AWS does not document which form it evaluates".to_owned(),
        ),
    }
}

/// The most severe evaluation, with the actions that share its cause.
fn worst(evaluations: impl IntoIterator<Item = (&'static str, AccessEvaluation)>) -> Severity {
    let mut worst = Severity::Allowed;
    for (action, evaluation) in evaluations {
        match (evaluation, &mut worst) {
            (AccessEvaluation::Allowed, _)
            | (AccessEvaluation::Inconclusive(_), Severity::Inconclusive(_) | Severity::Denied(..)) => {}
            (AccessEvaluation::Denied(cause), Severity::Denied(same, actions)) => {
                if cause == *same && !actions.contains(&action) {
                    actions.push(action);
                }
            }
            (AccessEvaluation::Denied(cause), Severity::Allowed | Severity::Inconclusive(_)) => {
                worst = Severity::Denied(cause, vec![action]);
            }
            (AccessEvaluation::Inconclusive(reason), Severity::Allowed) => {
                worst = Severity::Inconclusive(reason);
            }
        }
    }
    worst
}

fn inconclusive(
    name: CheckName,
    what: &str,
    reason: &str,
    role: &RoleArn,
    simulated: &Lookup<Vec<SimulationResult>>,
) -> Check {
    match simulated {
        Lookup::Unknown(reason) => Check::not_checked(
            name,
            format!("IAM did not simulate whether the role may {what}, because {reason}"),
        )
        .with_document(
            "to enable this check, add this statement to the role's policy",
            &remedy::role_simulate_statement(role),
        ),
        Lookup::Found(_) | Lookup::Absent => Check::not_checked(
            name,
            format!("it could not be determined whether the role may {what}: {reason}"),
        ),
    }
}

fn failed(
    name: CheckName,
    lacks: Reason,
    cause: &DenialCause,
    actions: &[&str],
    document: Option<&Value>,
) -> Check {
    let actions = actions.join(", ");
    let (reason, detail, remedy) = match cause {
        DenialCause::NotAllowed => (
            lacks,
            format!("no policy of the role allows {actions}"),
            "add this statement to the role's policy".to_owned(),
        ),
        DenialCause::Denied => (
            lacks,
            format!("a policy of the role, or its permissions boundary, denies {actions}"),
            "remove the deny; it overrides every allow".to_owned(),
        ),
        DenialCause::Organization => (
            Reason::DeniedByOrganization,
            format!("a policy of the AWS organization denies the role {actions}"),
            "ask the administrators of the organization to allow the role".to_owned(),
        ),
        DenialCause::NotInKeyPolicy => (
            lacks,
            format!(
                "the key's policy neither allows the role {actions} nor delegates to the policies of the role's account"
            ),
            "add this statement to the key's policy (kms:PutKeyPolicy) and keep the existing statements"
                .to_owned(),
        ),
        DenialCause::DeniedByKey(statement) => (
            lacks,
            format!("{statement} of the key's policy denies the role {actions}"),
            "exclude the role from that statement; a deny overrides every allow".to_owned(),
        ),
    };
    let check = Check::failed(name, reason, detail, remedy.clone());
    match document {
        Some(document) => check.with_document(remedy, document),
        None => check,
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

    fn classify(&self, kms: Kms<'_>, action: &str) -> PrincipalAccess {
        match self {
            Self::Readable(policy) => {
                policy.principal_access(kms.key, kms.role, &kms.resource.location, action)
            }
            Self::Unclear(reason) => PrincipalAccess::Unclear { reason: reason.clone() },
        }
    }
}
