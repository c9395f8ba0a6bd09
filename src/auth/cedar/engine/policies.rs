//! Sets of policies, and their decision about a request.
//!
//! Cedar's authorizer builds the condition of each policy again for each request. Here it is built once. Then a
//! decision follows Cedar's rules: a forbid that applies denies, otherwise a permit that applies allows, and a
//! policy whose evaluation fails does not apply. A test compares the decisions with those of Cedar's authorizer.

use std::sync::Arc;

use cedar_policy::{Effect, Policy};
use cedar_policy_core::{
    ast::{self, Expr, Literal, ValueKind},
    evaluator::Evaluator,
};

use super::request::EvaluationRequest;

/// Policies that decide together.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    permits: Vec<PreparedPolicy>,
    forbids: Vec<PreparedPolicy>,
}

/// A policy, ready for evaluation.
#[derive(Debug)]
struct PreparedPolicy {
    id: Arc<str>,
    policy: ast::Policy,
    /// The conditions on principal, action and resource, and the `when` and `unless` clauses, as one expression.
    condition: Expr,
}

/// What Cedar decides.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Whether a permit applies and no forbid.
    pub(crate) allowed: bool,
    /// The ids of the policies that made the decision, in order.
    pub(crate) determining: Vec<Arc<str>>,
    /// The ids of the policies whose evaluation failed. Cedar decides as if they did not exist.
    pub(crate) failed: Vec<Arc<str>>,
}

// === impl Policies ===

impl Policies {
    /// Adds a policy. Returns false if another one has the same id.
    pub(crate) fn add(&mut self, policy: &Policy) -> bool {
        let core: &ast::Policy = policy.as_ref();
        let id = core.id().as_ref();
        let is_new = self.all().all(|other| &*other.id != id);
        if is_new {
            let prepared =
                PreparedPolicy { id: id.into(), condition: core.condition(), policy: core.clone() };
            match policy.effect() {
                Effect::Permit => self.permits.push(prepared),
                Effect::Forbid => self.forbids.push(prepared),
            }
        }
        is_new
    }

    pub(crate) fn decide(&self, request: &EvaluationRequest) -> Verdict {
        let evaluator = request.evaluator();
        let mut failed = Vec::new();
        let mut applicable = |policies: &[PreparedPolicy]| {
            let mut ids = Vec::new();
            for policy in policies {
                match policy.applies(&evaluator) {
                    Some(true) => ids.push(Arc::clone(&policy.id)),
                    Some(false) => {}
                    None => failed.push(Arc::clone(&policy.id)),
                }
            }
            ids
        };
        let (permits, forbids) = (applicable(&self.permits), applicable(&self.forbids));
        let allowed = forbids.is_empty() && !permits.is_empty();
        let mut determining = if allowed { permits } else { forbids };
        determining.sort_unstable();
        Verdict { allowed, determining, failed }
    }

    /// Whether a permit applies, ignoring every forbid.
    pub(crate) fn any_permit_applies(&self, request: &EvaluationRequest) -> bool {
        let evaluator = request.evaluator();
        self.permits.iter().any(|policy| policy.applies(&evaluator) == Some(true))
    }

    /// The ids of all policies.
    #[cfg(test)]
    pub(crate) fn ids(&self) -> std::collections::BTreeSet<String> {
        self.all().map(|policy| policy.id.to_string()).collect()
    }

    /// Whether the policy with this id is a permit.
    pub(crate) fn is_permit(&self, id: &str) -> bool {
        self.permits.iter().any(|policy| &*policy.id == id)
    }

    fn all(&self) -> impl Iterator<Item = &PreparedPolicy> {
        self.permits.iter().chain(&self.forbids)
    }
}

// === impl PreparedPolicy ===

impl PreparedPolicy {
    /// Whether the policy applies. `None` if its evaluation fails.
    fn applies(&self, evaluator: &Evaluator<'_>) -> Option<bool> {
        match evaluator.interpret(&self.condition, self.policy.env()).ok()?.value_kind() {
            ValueKind::Lit(Literal::Bool(applies)) => Some(*applies),
            // Validation rejects a policy whose condition is no boolean.
            ValueKind::Lit(Literal::Long(_) | Literal::String(_) | Literal::EntityUID(_))
            | ValueKind::Set(_)
            | ValueKind::Record(_)
            | ValueKind::ExtensionValue(_) => None,
        }
    }
}

/// The byte offset at which a policy starts in the text that it was parsed from.
pub(crate) fn source_offset(policy: &Policy) -> usize {
    let policy: &ast::Policy = policy.as_ref();
    policy.loc().map_or(0, |loc| loc.span.offset())
}
