//! Why a call is judged as it is, policy by policy: for people who write policies.

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

/// What was decided, and what every policy had to say to it.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// The operators' policies, then those of the tenant's grants.
    pub policies: Vec<PolicyExplanation>,
}

/// What one policy has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyExplanation {
    /// Its id.
    pub id: String,
    /// What it does where it applies.
    pub forbids: bool,
    /// Whether it applies.
    pub applies: Applicability,
}

/// Whether a policy applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applicability {
    /// It does.
    Yes,
    /// It does not: this part of it is false.
    No(String),
    /// It cannot be told, which counts as a denial.
    Fails(String),
}

// === impl CedarPolicy ===

impl CedarPolicy {
    /// Judges a call and says why. Slower than [`Authorize::decide`], which it asks for the decision.
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

/// The conditions that all have to hold, one by one.
fn conjuncts(expression: &Expr) -> Vec<&Expr> {
    if let ExprKind::And { left, right } = expression.expr_kind() {
        let mut all = conjuncts(left);
        all.extend(conjuncts(right));
        all
    } else {
        vec![expression]
    }
}
