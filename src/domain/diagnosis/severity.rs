//! Combines the evaluations of several actions into one check.

use serde_json::Value;

use super::check::{Check, CheckName, Lookup};
use crate::domain::{aws::RoleArn, policy_simulation::SimulationResult, reason::Reason, remedy};

/// The evaluation of one action.
pub(super) enum AccessEvaluation {
    /// AWS would allow it.
    Allowed,
    /// AWS would deny it.
    Denied(DenialCause),
    /// The result cannot be determined, for this reason.
    Inconclusive(String),
}

/// Why AWS would deny an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DenialCause {
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
pub(super) enum Severity {
    Allowed,
    Inconclusive(String),
    Denied(DenialCause, Vec<&'static str>),
}

/// The most severe evaluation, with the actions that share its cause.
pub(super) fn worst(evaluations: impl IntoIterator<Item = (&'static str, AccessEvaluation)>) -> Severity {
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

pub(super) fn inconclusive(
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
        .with_remedy_for(
            reason,
            "to enable this check, add this statement to the role's policy",
            &remedy::role_simulate_statement(role),
        ),
        Lookup::Found(_) | Lookup::Absent => Check::not_checked(
            name,
            format!("it could not be determined whether the role may {what}: {reason}"),
        ),
    }
}

pub(super) fn failed(
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
