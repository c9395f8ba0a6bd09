//! Checks of the role's own policies, which IAM's policy simulation evaluates.

use serde_json::Value;

use super::{
    check::{Check, CheckName, Lookup},
    severity::{AccessEvaluation, DenialCause, Severity, failed, inconclusive, worst},
};
use crate::domain::{
    association::{Resource, Target},
    aws::RoleArn,
    policy_simulation::{SimulationDecision, SimulationRequest, SimulationResult, arn_forms},
    reason::Reason,
    remedy,
};

/// A permission of a role, with the simulation of it.
#[derive(Clone, Copy, Debug)]
pub struct RolePermission<'s> {
    /// The role to check.
    pub role: &'s RoleArn,
    /// What IAM returned.
    pub simulated: &'s Lookup<Vec<SimulationResult>>,
    /// What the permission is for, to be read after "the role may".
    pub permission: &'s str,
    /// The policy statement that grants the permission.
    pub document: &'s Value,
}

// === impl RolePermission ===

impl RolePermission<'_> {
    /// Whether the role may call each of these actions on each of these resources.
    #[must_use]
    pub fn changes_allowed(&self, actions: &[&'static str], resources: &[Resource]) -> Check {
        let Self { role, simulated, permission, document } = *self;
        let name = CheckName::RoleLogsPermission;
        let pairs = actions.iter().flat_map(|action| resources.iter().map(|resource| (*action, resource)));
        let evaluations = pairs.map(|(action, resource)| {
            let forms = arn_forms(resource);
            let decisions = forms.iter().map(|form| decision_for(simulated, action, form, &|_key| false));
            (action, any_arn_form(decisions.collect()))
        });
        match worst(evaluations) {
            Severity::Allowed => Check::passed(name, format!("the role may {permission}")),
            Severity::Inconclusive(reason) => inconclusive(name, permission, &reason, role, simulated),
            Severity::Denied(cause, actions) => {
                let document = (cause == DenialCause::NotAllowed).then_some(document);
                failed(name, Reason::RoleLacksLogsPermission, &cause, &actions, document)
            }
        }
    }

    /// Whether the role's own policies allow every action of `simulation` on every resource of it.
    #[must_use]
    pub fn simulation_allowed(&self, name: CheckName, simulation: &SimulationRequest) -> Check {
        let Self { role, simulated, permission, document } = *self;
        let pairs = simulation
            .actions
            .iter()
            .flat_map(|action| simulation.resources.iter().map(move |resource| (*action, resource)));
        let evaluations = pairs.map(|(action, resource)| {
            (action, any_arn_form(vec![decision_for(simulated, action, resource, &|_key| false)]))
        });
        match worst(evaluations) {
            Severity::Allowed => {
                Check::passed(name, format!("the role's own policies allow it to {permission}"))
            }
            Severity::Inconclusive(reason) => inconclusive(name, permission, &reason, role, simulated),
            Severity::Denied(cause, actions) => {
                let document = (cause == DenialCause::NotAllowed).then_some(document);
                failed(name, Reason::RoleLacksKmsPermission, &cause, &actions, document)
            }
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
    let permission = match resource.target {
        Target::LogGroup(_) => "change the log group's key",
        Target::QueryResults => "change the key of query results",
    };
    let document = remedy::role_logs_statement(resource);
    let check = RolePermission { role, simulated, permission, document: &document };
    check.changes_allowed(&[action], std::slice::from_ref(resource))
}

/// The simulator's decision on an action and a resource, or why there is none. `is_absent` says which condition
/// keys a real call is known not to have: the simulator decided without them too.
pub(super) fn decision_for(
    simulated: &Lookup<Vec<SimulationResult>>,
    action: &str,
    resource: &str,
    is_absent: &dyn Fn(&str) -> bool,
) -> Result<SimulationDecision, String> {
    let Lookup::Found(all) = simulated else { return Err("the action was not simulated".to_owned()) };
    let one = all.iter().find(|one| one.concerns(action, resource));
    let one = one.ok_or_else(|| format!("IAM returned no decision for {action}"))?;
    let missing = one.missing.iter().map(|key| &**key);
    let missing: Vec<&str> = missing.filter(|key| is_relevant(key, action) && !is_absent(key)).collect();
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
