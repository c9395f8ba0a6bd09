//! Identity and Access Management: simulates what the role's own policies allow.

use std::time::{Duration, Instant};

use aws_sdk_iam::{
    operation::simulate_principal_policy::SimulatePrincipalPolicyOutput,
    types::{ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType as Decision},
};

use super::{client::Aws, error::unreadable, operation::with_credentials};
use crate::{
    domain::{
        authorization::Access,
        policy_simulation::{SimulationDecision, SimulationRequest, SimulationResult},
    },
    ports::aws::{AwsResponse, UpstreamError},
};

/// The timeout of IAM: its result is useful, but no call depends on it.
const TIMEOUT: Duration = Duration::from_secs(3);

impl Aws {
    /// Runs the policy simulator, with a session of the role itself.
    pub(super) async fn run_simulation(
        &self,
        access: &Access,
        simulation: &SimulationRequest,
        deadline: Instant,
    ) -> AwsResponse<Vec<SimulationResult>> {
        let call = self
            .regional(access)
            .iam
            .simulate_principal_policy()
            .policy_source_arn(access.grant().role.as_str())
            .set_action_names(Some(simulation.actions.iter().map(|action| (*action).to_owned()).collect()))
            .set_resource_arns(Some(simulation.resources.clone()))
            .set_context_entries(Some(simulation.context.iter().map(entry).collect()));
        let deadline = deadline.min(Instant::now() + TIMEOUT);
        let response = self
            .limited_read(&self.budgets.iam, access, deadline, with_credentials!(aws_sdk_iam, call))
            .await;
        response.and_then(|answer| results(&answer))
    }
}

fn entry((key, value): &(&'static str, String)) -> ContextEntry {
    let kind = match value.as_str() {
        "true" | "false" => ContextKeyTypeEnum::Boolean,
        _ => ContextKeyTypeEnum::String,
    };
    ContextEntry::builder().context_key_name(*key).context_key_values(value).context_key_type(kind).build()
}

/// Returns all results. A page has up to 100, and the service never requests more; a truncated page is an
/// error.
fn results(answer: &SimulatePrincipalPolicyOutput) -> Result<Vec<SimulationResult>, UpstreamError> {
    if answer.is_truncated() {
        return Err(unreadable("SimulatePrincipalPolicy"));
    }
    Ok(answer.evaluation_results().iter().flat_map(action_results).collect())
}

/// The results of one action. IAM returns one result per action with a list of resources; formerly it
/// returned one result per pair.
fn action_results(result: &EvaluationResult) -> Vec<SimulationResult> {
    let by_organization =
        result.organizations_decision_detail().is_some_and(|detail| !detail.allowed_by_organizations());
    let result_for = |resource: &str, decision: &Decision, missing: &[String]| {
        Some(SimulationResult {
            action: result.eval_action_name().into(),
            resource: resource.into(),
            decision: parse_decision(decision, by_organization)?,
            missing: missing.iter().map(|key| key.as_str().into()).collect(),
        })
    };
    let by_resource = result.resource_specific_results();
    if by_resource.is_empty() {
        let resource = result.eval_resource_name().unwrap_or_default();
        let one = result_for(resource, result.eval_decision(), result.missing_context_values());
        return one.into_iter().collect();
    }
    let results = by_resource.iter().map(|one| {
        result_for(one.eval_resource_name(), one.eval_resource_decision(), one.missing_context_values())
    });
    results.flatten().collect()
}

/// Returns `None` for an unknown decision.
fn parse_decision(decision: &Decision, by_organization: bool) -> Option<SimulationDecision> {
    match decision.as_str() {
        "allowed" => Some(SimulationDecision::Allowed),
        "explicitDeny" | "implicitDeny" if by_organization => Some(SimulationDecision::DeniedByOrganization),
        "explicitDeny" => Some(SimulationDecision::Denied),
        "implicitDeny" => Some(SimulationDecision::NotAllowed),
        _ => None,
    }
}
