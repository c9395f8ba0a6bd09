//! Explains a decision policy by policy, for people who write policies. `logkey policy` calls it.

use cedar_policy::Policy;
use cedar_policy_core::{
    ast::{self, Effect, Expr, ExprKind},
    evaluator::Evaluator,
    extensions::Extensions,
};

use super::{CedarPolicy, fact_requirements::is_literal_true, grant_policies, request::CedarRequest};
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

/// Whether a policy applies to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applicability {
    /// The policy applies.
    Yes,
    /// The policy does not apply, because this part of it is false.
    No(String),
    /// The evaluation failed with this error, so the call is denied.
    Fails(String),
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
            .filter_map(|grant| Policy::parse(Some(cedar_policy::PolicyId::new(grant.id)), grant.text).ok())
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
    let policy: &ast::Policy = policy.as_ref();
    let evaluator = Evaluator::new(request.request.clone(), &request.entities, Extensions::all_available());
    let scope = [
        policy.principal_constraint().as_expr(),
        policy.action_constraint().as_expr(),
        policy.resource_constraint().as_expr(),
    ];
    let conditions = policy.non_scope_constraints().into_iter().flat_map(conjuncts);
    let mut applies = Applicability::Yes;
    for part in scope.iter().chain(conditions) {
        match evaluator.interpret(part, policy.env()) {
            Ok(value) if is_literal_true(&value) => {}
            Ok(_) => applies = Applicability::No(part.to_string()),
            Err(reason) => applies = Applicability::Fails(reason.to_string()),
        }
        if applies != Applicability::Yes {
            break;
        }
    }
    PolicyExplanation {
        id: policy.id().as_ref().to_owned(),
        forbids: policy.effect() == Effect::Forbid,
        applies,
    }
}

/// The operands of a chain of `&&`, in order.
fn conjuncts(expression: &Expr) -> Vec<&Expr> {
    if let ExprKind::And { left, right } = expression.expr_kind() {
        let mut all = conjuncts(left);
        all.extend(conjuncts(right));
        all
    } else {
        vec![expression]
    }
}
