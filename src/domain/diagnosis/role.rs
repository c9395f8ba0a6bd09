//! What the role itself may do: as IAM simulates it, and for a key together with the key's policy.

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

/// What is known of one action.
enum AccessEvaluation {
    /// Nothing stands against it.
    Allowed,
    /// It would be refused.
    Denied(DenialCause),
    /// It cannot be told from here, because of this.
    Open(String),
}

/// Why an action would be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DenialCause {
    /// No policy of the role allows it.
    NotAllowed,
    /// A policy of the role denies it.
    Denied,
    /// A policy of the organization denies it.
    Organization,
    /// The key's policy neither names the role nor leaves it to the account.
    LeftOut,
    /// This statement of the key's policy denies it.
    DeniedByKey(String),
}

/// What the actions come to.
enum Severity {
    Good,
    Open(String),
    Bad(DenialCause, Vec<&'static str>),
}

/// A role, and the key that it is to use for a resource.
#[derive(Clone, Copy, Debug)]
pub struct Kms<'k> {
    /// The role.
    pub role: &'k RoleArn,
    /// The key.
    pub key: &'k KmsKeyArn,
    /// What it is to encrypt.
    pub resource: &'k Resource,
}

/// Whether the role may use the key through `CloudWatch` Logs: its own policies and the key's both have
/// a say.
#[must_use]
pub fn role_kms(kms: Kms<'_>, policy: &Lookup<Box<str>>, simulated: &Lookup<Vec<SimulationResult>>) -> Check {
    let policy = Policy::read(policy);
    let found = REQUIRED_ACTIONS.map(|action| {
        let decision = decision_for(simulated, action, kms.key.as_str());
        let finding = if kms.key.account() == kms.role.account() {
            same_account(decision, policy.classify(kms, action))
        } else {
            cross_account(decision, kms.key)
        };
        (action, finding)
    });
    let name = CheckName::RoleKmsPermission;
    let what = "use the key through CloudWatch Logs";
    match worst(found) {
        Severity::Good => Check::passed(name, format!("the role may {what}")),
        Severity::Open(reason) => inconclusive(name, what, &reason, kms.role, simulated),
        Severity::Bad(cause, actions) => {
            let document = match cause {
                DenialCause::NotAllowed => Some(remedy::role_kms_statement(kms.key, kms.resource)),
                DenialCause::LeftOut => Some(remedy::key_policy_role_statement(kms.role, kms.resource)),
                DenialCause::Denied | DenialCause::Organization | DenialCause::DeniedByKey(_) => None,
            };
            failed(name, Reason::RoleLacksKmsPermission, &cause, &actions, document.as_ref())
        }
    }
}

/// Whether the role may do `action` to the resource.
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

/// Whether the role may do all of these actions to all of these resources.
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
    let each = actions.iter().flat_map(|action| resources.iter().map(|resource| (*action, resource)));
    let found = each.map(|(action, resource)| {
        let spelled = arn_forms(resource);
        let decisions = spelled.iter().map(|spelling| decision_for(simulated, action, spelling));
        (action, any_arn_form(decisions.collect()))
    });
    match worst(found) {
        Severity::Good => Check::passed(name, format!("the role may {what}")),
        Severity::Open(reason) => inconclusive(name, what, &reason, role, simulated),
        Severity::Bad(cause, actions) => {
            let document = (cause == DenialCause::NotAllowed).then_some(document);
            failed(name, Reason::RoleLacksLogsPermission, &cause, &actions, document)
        }
    }
}

/// Whether the role may do everything that `trial` asks about, as far as its own policies go.
#[must_use]
pub fn simulation_allowed(
    name: CheckName,
    role: &RoleArn,
    simulation: &SimulationRequest,
    simulated: &Lookup<Vec<SimulationResult>>,
    what: &str,
    document: &Value,
) -> Check {
    let each = simulation
        .actions
        .iter()
        .flat_map(|action| simulation.resources.iter().map(move |resource| (*action, resource)));
    let found = each
        .map(|(action, resource)| (action, any_arn_form(vec![decision_for(simulated, action, resource)])));
    match worst(found) {
        Severity::Good => Check::passed(name, format!("the role's own policies let it {what}")),
        Severity::Open(reason) => inconclusive(name, what, &reason, role, simulated),
        Severity::Bad(cause, actions) => {
            let document = (cause == DenialCause::NotAllowed).then_some(document);
            failed(name, Reason::RoleLacksKmsPermission, &cause, &actions, document)
        }
    }
}

/// What the simulator said of this, or why that is not known.
fn decision_for(
    simulated: &Lookup<Vec<SimulationResult>>,
    action: &str,
    resource: &str,
) -> Result<SimulationDecision, String> {
    let Lookup::Found(all) = simulated else { return Err("it was not simulated".to_owned()) };
    let one = all.iter().find(|one| one.concerns(action, resource));
    let one = one.ok_or_else(|| format!("IAM says nothing of {action}"))?;
    let missing: Vec<&str> =
        one.missing.iter().map(|key| &**key).filter(|key| is_relevant(key, action)).collect();
    if missing.is_empty() {
        Ok(one.decision)
    } else {
        Err(format!("it depends on {}, which is known only when the call is made", missing.join(", ")))
    }
}

/// Whether a call of `action` can have this condition key at all: IAM names every key of the role's
/// policies, and those of other services are absent from a real call too.
fn is_relevant(key: &str, action: &str) -> bool {
    let service = |text: &str| text.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let service = (service(key), service(action));
    service.0 == "aws" || service.0 == service.1
}

/// A key of the role's own account.
fn same_account(decision: Result<SimulationDecision, String>, access: PrincipalAccess) -> AccessEvaluation {
    match (access, decision) {
        (PrincipalAccess::Denied { statement }, _) => {
            AccessEvaluation::Denied(DenialCause::DeniedByKey(statement))
        }
        (PrincipalAccess::NotMentioned, _) => AccessEvaluation::Denied(DenialCause::LeftOut),
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
        ) => AccessEvaluation::Open(reason),
        (PrincipalAccess::Named, Ok(SimulationDecision::Allowed | SimulationDecision::NotAllowed))
        | (PrincipalAccess::Delegated, Ok(SimulationDecision::Allowed)) => AccessEvaluation::Allowed,
        (PrincipalAccess::Delegated, Ok(SimulationDecision::NotAllowed)) => {
            AccessEvaluation::Denied(DenialCause::NotAllowed)
        }
    }
}

/// A key of another account: both accounts have to allow it, and one of them cannot be asked.
fn cross_account(decision: Result<SimulationDecision, String>, key: &KmsKeyArn) -> AccessEvaluation {
    match decision {
        Ok(SimulationDecision::NotAllowed) => AccessEvaluation::Denied(DenialCause::NotAllowed),
        Ok(SimulationDecision::Denied) => AccessEvaluation::Denied(DenialCause::Denied),
        Ok(SimulationDecision::DeniedByOrganization) => AccessEvaluation::Denied(DenialCause::Organization),
        Ok(SimulationDecision::Allowed) => AccessEvaluation::Open(format!(
            "the key belongs to account {}, and KMS shows key policies to their own account only",
            key.account()
        )),
        Err(reason) => AccessEvaluation::Open(reason),
    }
}

/// One resource in all its spellings, of which AWS asks for one.
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
            Err(reason) => return AccessEvaluation::Open(reason),
        }
    }
    match allowed {
        0 => AccessEvaluation::Denied(DenialCause::NotAllowed),
        some if some == all => AccessEvaluation::Allowed,
        _ => AccessEvaluation::Open(
            "the role's policies name the log group in one of two ways, with something behind its name or without, and AWS does not document which it asks for".to_owned(),
        ),
    }
}

/// The worst finding, with the actions that share it.
fn worst(found: impl IntoIterator<Item = (&'static str, AccessEvaluation)>) -> Severity {
    let mut worst = Severity::Good;
    for (action, finding) in found {
        match (finding, &mut worst) {
            (AccessEvaluation::Allowed, _)
            | (AccessEvaluation::Open(_), Severity::Open(_) | Severity::Bad(..)) => {}
            (AccessEvaluation::Denied(cause), Severity::Bad(same, actions)) => {
                if cause == *same && !actions.contains(&action) {
                    actions.push(action);
                }
            }
            (AccessEvaluation::Denied(cause), Severity::Good | Severity::Open(_)) => {
                worst = Severity::Bad(cause, vec![action]);
            }
            (AccessEvaluation::Open(reason), Severity::Good) => worst = Severity::Open(reason),
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
        Lookup::Unknown(reason) => {
            Check::not_checked(name, format!("whether the role may {what} was not simulated, since {reason}"))
                .with_document(
                    "to have it checked, add this statement to the role's policy",
                    &remedy::role_simulate_statement(role),
                )
        }
        Lookup::Found(_) | Lookup::Absent => Check::not_checked(
            name,
            format!("whether the role may {what} cannot be told from here: {reason}"),
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
            format!("no policy of the role allows it {actions}"),
            "add this statement to the role's policy".to_owned(),
        ),
        DenialCause::Denied => (
            lacks,
            format!("a policy of the role, or its permissions boundary, denies it {actions}"),
            "take the denial away: it wins over everything that allows".to_owned(),
        ),
        DenialCause::Organization => (
            Reason::DeniedByOrganization,
            format!("a policy of the AWS organization denies the role {actions}"),
            "ask whoever runs the organization to let the role through".to_owned(),
        ),
        DenialCause::LeftOut => (
            lacks,
            format!(
                "the key's policy neither lets the role do {actions} nor leaves it to the account's own policies"
            ),
            "add this statement to the key's policy (kms:PutKeyPolicy), beside those that are there"
                .to_owned(),
        ),
        DenialCause::DeniedByKey(statement) => (
            lacks,
            format!("{statement} of the key's policy denies the role {actions}"),
            "except the role from that statement: a denial wins over everything that allows".to_owned(),
        ),
    };
    let check = Check::failed(name, reason, detail, remedy.clone());
    match document {
        Some(document) => check.with_document(remedy, document),
        None => check,
    }
}

/// The key's policy, as far as it can be read.
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
                Self::Unclear(format!("the key's policy was not read, since {reason}"))
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
