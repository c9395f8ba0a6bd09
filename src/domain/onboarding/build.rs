//! Builds the documents for a grant.

use serde_json::Value;

use super::{
    documents::Onboarding,
    statements::{for_log_groups, for_query_results, role_policy, trust_policy},
    templates,
};
use crate::domain::tenant::AccountGrant;

// === impl Onboarding ===

impl Onboarding {
    /// The documents for this grant. `service_principal` is the ARN of the service identity, a role or a
    /// user.
    #[must_use]
    pub fn of(grant: &AccountGrant, service_principal: &str) -> Self {
        let (trust_policy, role_policy) = (trust_policy(grant, service_principal), role_policy(grant));
        let for_groups = grant.regions.iter().map(|region| for_log_groups(grant, region)).collect();
        let results = grant.regions.iter().filter(|_| grant.query_results);
        let mut onboarding = Self {
            key_policy_for_log_groups: for_groups,
            key_policy_for_query_results: results.map(|region| for_query_results(grant, region)).collect(),
            terraform: String::new(),
            cloudformation: Value::Null,
            trust_policy,
            role_policy,
        };
        onboarding.terraform = templates::terraform(grant, &onboarding);
        onboarding.cloudformation = templates::cloudformation(grant, &onboarding);
        onboarding
    }
}
