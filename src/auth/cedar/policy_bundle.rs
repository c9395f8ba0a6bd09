//! The policies that a call is judged by: the shared ones, and what its tenant was granted in the one
//! account for the one kind of resource. No other grant could apply, by its own scope.

use std::sync::Arc;

use cedar_policy::{Effect, Policy, PolicyId, Validator};
use cedar_policy_core::ast;

use super::{fact_requirements::FactPolicies, grant_policies::GrantPolicy, load};

/// Policies, ready to be asked.
#[derive(Debug, Default)]
pub(super) struct PolicyBundle {
    /// All of them.
    pub(super) all: ast::PolicySet,
    /// Those that permit.
    pub(super) permits: ast::PolicySet,
    /// Those that ask for facts which have to be looked up.
    pub(super) askers: FactPolicies,
    /// A policy that could not be made ready: then nothing is permitted.
    pub(super) broken: Option<Arc<str>>,
}

// === impl Slice ===

impl PolicyBundle {
    /// The tenant's own policies are held against the schema as the operators' are.
    pub(super) fn new(validator: &Validator, shared: &[Policy], own: Vec<GrantPolicy>) -> Self {
        let mut slice = Self::default();
        for policy in shared {
            slice.add(policy);
        }
        for GrantPolicy { id, text } in own {
            match Policy::parse(Some(PolicyId::new(&id)), &text) {
                Ok(policy) if load::invalid(validator, &id, &text, &policy).is_empty() => slice.add(&policy),
                Ok(_) | Err(_) => slice.broken = Some(id.into()),
            }
        }
        slice
    }

    fn add(&mut self, policy: &Policy) {
        let core: &ast::Policy = policy.as_ref();
        self.askers.add(core);
        let permit = match policy.effect() {
            Effect::Permit => self.permits.add(core.clone()).is_ok(),
            Effect::Forbid => true,
        };
        if !(permit && self.all.add(core.clone()).is_ok()) {
            self.broken = Some(Arc::from(policy.id().as_ref()));
        }
    }
}
