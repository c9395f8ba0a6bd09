//! Why a call is judged as it is, policy by policy: for people who write policies.

use cedar_policy::Policy;
use cedar_policy_core::{
    ast::{self, Effect, Expr, ExprKind},
    evaluator::Evaluator,
    extensions::Extensions,
};

use super::{CedarPolicy, grants, request::Asked, wants::is_true};
use crate::{
    domain::authorization::{Decision, Question},
    ports::Authorize,
};

/// What was decided, and what every policy had to say to it.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// The operators' policies, then those of the tenant's grants.
    pub policies: Vec<Opinion>,
}

/// What one policy has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// Its id.
    pub id: String,
    /// What it does where it applies.
    pub forbids: bool,
    /// Whether it applies.
    pub applies: Applies,
}

/// Whether a policy applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applies {
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
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let decision = self.decide(question);
        let own: Vec<Policy> = grants::policies(question.tenant)
            .into_iter()
            .chain(grants::every_tenants(question.tenant))
            .filter_map(|grant| Policy::parse(Some(cedar_policy::PolicyId::new(grant.id)), grant.text).ok())
            .collect();
        let policies = match Asked::of(question, &self.made) {
            Some(asked) => self.shared.iter().chain(&own).map(|policy| opinion(policy, &asked)).collect(),
            None => Vec::new(),
        };
        Explanation { decision, policies }
    }
}

fn opinion(policy: &Policy, asked: &Asked) -> Opinion {
    let policy: &ast::Policy = policy.as_ref();
    let evaluator = Evaluator::new(asked.request.clone(), &asked.entities, Extensions::all_available());
    let scope = [
        policy.principal_constraint().as_expr(),
        policy.action_constraint().as_expr(),
        policy.resource_constraint().as_expr(),
    ];
    let conditions = policy.non_scope_constraints().into_iter().flat_map(conjuncts);
    let mut applies = Applies::Yes;
    for part in scope.iter().chain(conditions) {
        match evaluator.interpret(part, policy.env()) {
            Ok(value) if is_true(&value) => {}
            Ok(_) => applies = Applies::No(part.to_string()),
            Err(why) => applies = Applies::Fails(why.to_string()),
        }
        if applies != Applies::Yes {
            break;
        }
    }
    Opinion { id: policy.id().as_ref().to_owned(), forbids: policy.effect() == Effect::Forbid, applies }
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
