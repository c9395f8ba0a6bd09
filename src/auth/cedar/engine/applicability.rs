//! Whether one policy applies to a request, and which part of it is false if it does not.

use cedar_policy::Policy;
use cedar_policy_core::ast::{self, Expr, ExprKind, Literal, Value, ValueKind};

use super::request::EvaluationRequest;

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

// === impl Applicability ===

impl Applicability {
    /// Evaluates the parts of the policy in order, up to the first that is not true.
    pub(crate) fn of(policy: &Policy, request: &EvaluationRequest) -> Self {
        let policy: &ast::Policy = policy.as_ref();
        let evaluator = request.evaluator();
        let scope = scope(policy);
        let conditions = policy.non_scope_constraints().into_iter().flat_map(conjuncts);
        for part in scope.iter().chain(conditions) {
            match evaluator.interpret(part, policy.env()) {
                Ok(value) if is_literal_true(&value) => {}
                Ok(_) => return Self::No(part.to_string()),
                Err(reason) => return Self::Fails(reason.to_string()),
            }
        }
        Self::Yes
    }
}

/// The conditions on principal, action and resource.
pub(super) fn scope(policy: &ast::Policy) -> [Expr; 3] {
    [
        policy.principal_constraint().as_expr(),
        policy.action_constraint().as_expr(),
        policy.resource_constraint().as_expr(),
    ]
}

/// Whether the value is `true`.
pub(super) fn is_literal_true(value: &Value) -> bool {
    matches!(value.value_kind(), ValueKind::Lit(Literal::Bool(true)))
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
