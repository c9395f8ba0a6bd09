//! The policies that decide a call: the operators' policies, and the tenant's grants in one account for one
//! kind of resource. The scopes of all other grants exclude the call.

use std::sync::Arc;

use cedar_policy::{Policy, PolicyId, Validator};

use super::{
    engine::{fact_policies::FactPolicies, policies::Policies},
    grant_policies::GrantPolicy,
    load,
};

/// Parsed policies for the calls of one tenant on one kind of resource.
#[derive(Debug)]
pub(super) struct PolicyBundle {
    /// Every policy.
    pub(super) policies: Policies,
    /// The policies that use policy facts.
    pub(super) fact_policies: FactPolicies,
    /// The id of a policy that could not be added. Every call is denied then.
    pub(super) broken: Option<Arc<str>>,
}

// === impl PolicyBundle ===

impl PolicyBundle {
    /// Builds a bundle. Validates the tenant's generated policies as strictly as the operators' policies.
    pub(super) fn new(validator: &Validator, shared: &[Policy], own: Vec<GrantPolicy>) -> Self {
        let mut bundle =
            Self { policies: Policies::default(), fact_policies: FactPolicies::default(), broken: None };
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
        self.fact_policies.add(policy);
        if !self.policies.add(policy) {
            self.broken = Some(Arc::from(policy.id().as_ref()));
        }
    }
}
