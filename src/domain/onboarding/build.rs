//! Builds the documents for a grant.

use serde_json::Value;

use super::{
    documents::Onboarding,
    organization::OrganizationId,
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
        Self::within(grant, service_principal, None)
    }

    /// The same documents; with an organization, the role trusts the service identity only while that belongs to
    /// the organization.
    #[must_use]
    pub fn within(
        grant: &AccountGrant,
        service_principal: &str,
        organization: Option<&OrganizationId>,
    ) -> Self {
        let trust_policy = trust_policy(grant, service_principal, organization);
        let role_policy = role_policy(grant);
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
