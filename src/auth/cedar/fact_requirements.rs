//! Which facts a policy asks for beyond those that every call brings along, told from its text: what
//! costs a call to AWS is looked up only where a policy that is about the call looks at it.

use std::sync::Arc;

use cedar_policy_core::{
    ast::{BinaryOp, Expr, ExprKind, Literal, Policy, Value, ValueKind, Var},
    evaluator::Evaluator,
    extensions::Extensions,
};

use super::request::CedarRequest;
use crate::domain::authorization::{AuthzRequest, PreviousKey, RequiredFacts};

/// The member of the context that is the key in force before.
pub(super) const PREVIOUS: &str = "previous";

/// The policies of a slice that ask for more.
#[derive(Debug, Default)]
pub(super) struct FactPolicies {
    key_tags: Vec<Policy>,
    previous_key: Vec<Policy>,
}

// === impl Askers ===

impl FactPolicies {
    /// Looks through one more policy.
    pub(super) fn add(&mut self, policy: &Policy) {
        let requests = |what: fn(&Expr) -> bool| {
            policy.non_scope_constraints().is_some_and(|expression| expression.subexpressions().any(what))
        };
        if requests(reads_key_tags) {
            self.key_tags.push(policy.clone());
        }
        if requests(reads_previous_key) {
            self.previous_key.push(policy.clone());
        }
    }

    /// Whether none asks for more.
    pub(super) fn is_empty(&self) -> bool {
        self.key_tags.is_empty() && self.previous_key.is_empty()
    }

    /// What is asked for and not told, by policies whose scope the call is in.
    pub(super) fn missing_facts(&self, question: &AuthzRequest<'_>, request: &CedarRequest) -> RequiredFacts {
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

/// The ids of those whose principal, action and resource are those of the call.
fn applicable(policies: &[Policy], request: &CedarRequest) -> Vec<Arc<str>> {
    if policies.is_empty() {
        return Vec::new();
    }
    let evaluator = Evaluator::new(request.request.clone(), &request.entities, Extensions::all_available());
    let about = |policy: &&Policy| {
        let scope = [
            policy.principal_constraint().as_expr(),
            policy.action_constraint().as_expr(),
            policy.resource_constraint().as_expr(),
        ];
        // What cannot be told is taken for a yes: then the fact is looked up, and evaluation fails as ever.
        scope
            .iter()
            .all(|part| evaluator.interpret(part, policy.env()).map_or(true, |value| is_literal_true(&value)))
    };
    policies.iter().filter(about).map(|policy| Arc::from(policy.id().as_ref())).collect()
}

/// Tags of anything but the caller, whose tags are claims and at hand.
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

/// Whether the value is `true`.
pub(super) fn is_literal_true(value: &Value) -> bool {
    matches!(value.value_kind(), ValueKind::Lit(Literal::Bool(true)))
}
