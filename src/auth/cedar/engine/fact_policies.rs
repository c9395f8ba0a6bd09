//! Finds the policies that use facts beyond the call itself, from their text. A fact that costs a call to AWS
//! is looked up only if a policy whose scope matches the call uses it.

use std::sync::Arc;

use cedar_policy_core::ast::{self, BinaryOp, Expr, ExprKind, Policy, Var};

use super::{
    applicability::{is_literal_true, scope},
    request::EvaluationRequest,
};
use crate::domain::authorization::{AuthzRequest, PreviousKey, RequiredFacts};

/// The member of the context with the key before the change.
pub(crate) const PREVIOUS: &str = "previous";

/// The policies of a bundle that use policy facts.
#[derive(Debug, Default)]
pub(crate) struct FactPolicies {
    key_tags: Vec<Policy>,
    previous_key: Vec<Policy>,
}

// === impl FactPolicies ===

impl FactPolicies {
    /// Adds a policy if it uses policy facts.
    pub(crate) fn add(&mut self, policy: &cedar_policy::Policy) {
        let policy: &ast::Policy = policy.as_ref();
        let any_part = |reads: fn(&Expr) -> bool| {
            policy.non_scope_constraints().is_some_and(|expression| expression.subexpressions().any(reads))
        };
        if any_part(reads_key_tags) {
            self.key_tags.push(policy.clone());
        }
        if any_part(reads_previous_key) {
            self.previous_key.push(policy.clone());
        }
    }

    /// Whether no policy uses policy facts.
    pub(crate) fn is_empty(&self) -> bool {
        self.key_tags.is_empty() && self.previous_key.is_empty()
    }

    /// The unknown facts that policies use whose scope matches the call.
    pub(crate) fn missing_facts(
        &self,
        question: &AuthzRequest<'_>,
        request: &EvaluationRequest,
    ) -> RequiredFacts {
        let mut required_facts = RequiredFacts::default();
        if question.key.is_some() && question.facts.key_tags.is_none() {
            required_facts.key_tags = applicable(&self.key_tags, request);
        }
        if question.action.is_mutation() && question.facts.previous_key == PreviousKey::Unknown {
            required_facts.previous_key = applicable(&self.previous_key, request);
        }
        required_facts
    }
}

/// The ids of the policies whose scope (principal, action and resource) matches the call.
fn applicable(policies: &[Policy], request: &EvaluationRequest) -> Vec<Arc<str>> {
    if policies.is_empty() {
        return Vec::new();
    }
    let evaluator = request.evaluator();
    let scope_matches = |policy: &&Policy| {
        // A part that fails counts as a match. The fact is then looked up, and the decision fails as it
        // would without this check.
        scope(policy)
            .iter()
            .all(|part| evaluator.interpret(part, policy.env()).map_or(true, |value| is_literal_true(&value)))
    };
    policies.iter().filter(scope_matches).map(|policy| Arc::from(policy.id().as_ref())).collect()
}

/// Whether the expression reads tags of anything but the caller. The caller's tags are claims of the token
/// and always known.
fn reads_key_tags(expression: &Expr) -> bool {
    if let ExprKind::BinaryApp { op: BinaryOp::HasTag | BinaryOp::GetTag, arg1, .. } = expression.expr_kind()
    {
        return !matches!(arg1.expr_kind(), ExprKind::Var(Var::Principal));
    }
    false
}

fn reads_previous_key(expression: &Expr) -> bool {
    let kind = expression.expr_kind();
    if let ExprKind::GetAttr { attr, .. } | ExprKind::HasAttr { attr, .. } = kind {
        return attr == PREVIOUS;
    }
    if let ExprKind::ExtHasAttr { attrs, .. } = kind {
        return attrs.iter().any(|attr| attr == PREVIOUS);
    }
    false
}
