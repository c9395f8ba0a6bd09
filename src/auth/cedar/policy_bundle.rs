//! The policies that decide a call: the operators' policies, and the tenant's grants in one account for one
//! kind of resource. The scopes of all other grants exclude the call.

use std::sync::Arc;

use cedar_policy::{Effect, Policy, PolicyId, Validator};
use cedar_policy_core::ast;

use super::{fact_requirements::FactPolicies, grant_policies::GrantPolicy, load};

/// Parsed policies for the calls of one tenant on one kind of resource.
#[derive(Debug, Default)]
pub(super) struct PolicyBundle {
    /// Every policy.
    pub(super) all: ast::PolicySet,
    /// The permits alone.
    pub(super) permits: ast::PolicySet,
    /// The policies that use policy facts.
    pub(super) fact_policies: FactPolicies,
    /// The id of a policy that could not be added. Every call is denied then.
    pub(super) broken: Option<Arc<str>>,
}

// === impl PolicyBundle ===

impl PolicyBundle {
    /// Builds a bundle. Validates the tenant's generated policies as strictly as the operators' policies.
    pub(super) fn new(validator: &Validator, shared: &[Policy], own: Vec<GrantPolicy>) -> Self {
        let mut bundle = Self::default();
        for policy in shared {
            bundle.add(policy);
        }
        for GrantPolicy { id, text } in own {
            match Policy::parse(Some(PolicyId::new(&id)), &text) {
                Ok(policy) if load::invalid(validator, &id, &text, &policy).is_empty() => bundle.add(&policy),
                Ok(_) | Err(_) => bundle.broken = Some(id.into()),
            }
        }
        bundle
    }

    fn add(&mut self, policy: &Policy) {
        let core: &ast::Policy = policy.as_ref();
        self.fact_policies.add(core);
        let permit = match policy.effect() {
            Effect::Permit => self.permits.add(core.clone()).is_ok(),
            Effect::Forbid => true,
        };
        if !(permit && self.all.add(core.clone()).is_ok()) {
            self.broken = Some(Arc::from(policy.id().as_ref()));
        }
    }
}
