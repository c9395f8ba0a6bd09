//! Sets of policies, and their decision about a request.

use std::sync::Arc;

use cedar_policy::{Effect, Policy};
use cedar_policy_core::{
    ast::{self, PolicyID},
    authorizer::{AuthorizationError, Authorizer, Decision},
};

use super::request::EvaluationRequest;

/// Policies that decide together.
#[derive(Debug)]
pub(crate) struct Policies {
    authorizer: Authorizer,
    all: ast::PolicySet,
    permits: ast::PolicySet,
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
    pub(crate) fn new() -> Self {
        Self {
            authorizer: Authorizer::new(),
            all: ast::PolicySet::default(),
            permits: ast::PolicySet::default(),
        }
    }

    /// Adds a policy. Returns false if another one has the same id.
    pub(crate) fn add(&mut self, policy: &Policy) -> bool {
        let core: &ast::Policy = policy.as_ref();
        let permit = match policy.effect() {
            Effect::Permit => self.permits.add(core.clone()).is_ok(),
            Effect::Forbid => true,
        };
        permit && self.all.add(core.clone()).is_ok()
    }

    pub(crate) fn decide(&self, request: &EvaluationRequest) -> Verdict {
        let response = self.authorizer.is_authorized(request.request.clone(), &self.all, &request.entities);
        let mut determining: Vec<Arc<str>> =
            response.diagnostics.reason.iter().map(|id| Arc::from(id.as_ref())).collect();
        determining.sort_unstable();
        Verdict {
            allowed: response.decision == Decision::Allow,
            determining,
            failed: response.diagnostics.errors.iter().map(failed_policy).collect(),
        }
    }

    /// Whether a permit applies, ignoring every forbid.
    pub(crate) fn any_permit_applies(&self, request: &EvaluationRequest) -> bool {
        let response =
            self.authorizer.is_authorized(request.request.clone(), &self.permits, &request.entities);
        response.decision == Decision::Allow
    }

    /// The ids of all policies.
    #[cfg(test)]
    pub(crate) fn ids(&self) -> std::collections::BTreeSet<String> {
        self.all.policies().map(|policy| policy.id().to_string()).collect()
    }

    /// Whether the policy with this id is a permit.
    pub(crate) fn is_permit(&self, id: &str) -> bool {
        self.permits.get(&PolicyID::from_string(id)).is_some()
    }
}

fn failed_policy(error: &AuthorizationError) -> Arc<str> {
    let AuthorizationError::PolicyEvaluationError { id, .. } = error;
    Arc::from(id.as_ref())
}

/// The byte offset at which a policy starts in the text that it was parsed from.
pub(crate) fn source_offset(policy: &Policy) -> usize {
    let policy: &ast::Policy = policy.as_ref();
    policy.loc().map_or(0, |loc| loc.span.offset())
}
