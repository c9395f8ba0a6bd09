//! Explains a decision policy by policy, for people who write policies. `logkey policy` calls it.

use cedar_policy::{Effect, Policy, PolicyId};

use super::{
    authorizer::CedarPolicy, engine::applicability::Applicability, grant_policies, request::CedarRequest,
};
use crate::{
    domain::authorization::{AuthzRequest, Decision},
    ports::Authorize,
};

/// A decision, and how each policy contributed to it.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The decision, as [`Authorize::decide`] returns it.
    pub decision: Decision,
    /// The operators' policies, followed by those of the tenant.
    pub policies: Vec<PolicyExplanation>,
}

/// How one policy contributes to a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyExplanation {
    /// The id of the policy.
    pub id: String,
    /// Whether the policy is a forbid; otherwise it is a permit.
    pub forbids: bool,
    /// Whether the policy applies to the call.
    pub applies: Applicability,
}

// === impl CedarPolicy ===

impl CedarPolicy {
    /// Decides a call and explains the decision. It calls [`Authorize::decide`] and is slower.
    #[must_use]
    pub fn explain(&self, question: &AuthzRequest<'_>) -> Explanation {
        let decision = self.decide(question);
        let own: Vec<Policy> = grant_policies::policies(question.tenant)
            .into_iter()
            .chain(grant_policies::global_policies(question.tenant))
            .filter_map(|grant| Policy::parse(Some(PolicyId::new(grant.id)), grant.text).ok())
            .collect();
        let policies = match CedarRequest::of(question, &self.entities) {
            Some(request) => {
                self.shared.iter().chain(&own).map(|policy| explain_policy(policy, &request)).collect()
            }
            None => Vec::new(),
        };
        Explanation { decision, policies }
    }
}

fn explain_policy(policy: &Policy, request: &CedarRequest) -> PolicyExplanation {
    PolicyExplanation {
        id: policy.id().to_string(),
        forbids: policy.effect() == Effect::Forbid,
        applies: Applicability::of(policy, &request.evaluation),
    }
}
