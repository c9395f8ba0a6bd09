//! Authorizes every call with Cedar, by the operators' policies and the grants of one tenant.
//! [`CedarPolicy::load`] builds it. It never changes after that; a reload builds a new one.

mod entity_cache;
mod explain;
mod fact_requirements;
mod fault;
mod grant_policies;
mod load;
mod policy_bundle;
mod request;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, fmt, sync::Arc};

use cedar_policy::{Policy, Validator};
use cedar_policy_core::{
    ast::PolicyID,
    authorizer::{AuthorizationError, Authorizer, Decision as Verdict},
};

use self::{
    entity_cache::EntityCache,
    policy_bundle::PolicyBundle,
    request::{CedarRequest, ResourceKind},
};
pub use self::{
    explain::{Applicability, Explanation, PolicyExplanation},
    fault::PolicyFault,
    grant_policies::GrantPolicy,
};
use super::two_gen_cache::TwoGenCache;
use crate::{
    domain::{
        authorization::{AuthzRequest, Decision, Denial, RequiredFacts, ResourceScope},
        aws::AccountId,
        tenant::{Tenant, TenantId, Tenants},
    },
    ports::{Authorize, Clock},
};

/// How many policy bundles are cached: one for each tenant, account and kind of resource. Building another
/// one takes a fraction of a millisecond.
const CACHED_BUNDLES: usize = 4096;

/// Authorizes calls by Cedar policies.
pub struct CedarPolicy {
    tenants: Arc<Tenants>,
    shared: Vec<Policy>,
    validator: Validator,
    authorizer: Authorizer,
    bundles: TwoGenCache<(TenantId, Option<AccountId>, ResourceKind), Arc<PolicyBundle>>,
    entities: EntityCache,
}

// === impl CedarPolicy ===

impl CedarPolicy {
    /// Parses the operators' policies and validates them against the schema. Each file is its name and text.
    ///
    /// # Errors
    ///
    /// Every [`PolicyFault`] in every file.
    pub fn load(
        tenants: Arc<Tenants>,
        operator_policies: &[(String, String)],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Vec<PolicyFault>> {
        let validator = Validator::new(load::schema().map_err(|diagnostic| vec![diagnostic])?);
        let shared = load::operator_policies(&validator, operator_policies)?;
        Ok(Self {
            tenants,
            shared,
            validator,
            authorizer: Authorizer::new(),
            bundles: TwoGenCache::new(CACHED_BUNDLES),
            entities: EntityCache::new(clock),
        })
    }

    /// Every problem with the operators' policies. Each file is its name and text.
    #[must_use]
    pub fn check(operator_policies: &[(String, String)]) -> Vec<PolicyFault> {
        let checked = load::schema()
            .map_err(|diagnostic| vec![diagnostic])
            .and_then(|schema| load::operator_policies(&Validator::new(schema), operator_policies).map(drop));
        checked.err().unwrap_or_default()
    }

    /// The schema for the operators' policies, in Cedar's schema language.
    #[must_use]
    pub fn schema() -> &'static str {
        load::SCHEMA
    }

    /// The policies that represent a tenant's grants.
    #[must_use]
    pub fn grants_of(tenant: &Tenant) -> Vec<GrantPolicy> {
        grant_policies::policies(tenant)
    }

    /// The policies that every tenant has, whatever its grants: to read its own settings and its part of the
    /// audit log.
    #[must_use]
    pub fn global_policies(tenant: &Tenant) -> Vec<GrantPolicy> {
        grant_policies::global_policies(tenant)
    }

    /// The id and the Cedar text of each of the operators' policies, which apply to every tenant.
    pub fn operator_policies(&self) -> impl Iterator<Item = (&str, String)> {
        self.shared.iter().map(|policy| (policy.id().as_ref(), policy.to_string()))
    }

    fn policies_for(&self, question: &AuthzRequest<'_>, kind: ResourceKind) -> Option<Arc<PolicyBundle>> {
        let account = match question.about {
            ResourceScope::Aws { location, .. } => Some(location.account),
            ResourceScope::Account(grant) => Some(grant.account),
            ResourceScope::AuditLog(_) | ResourceScope::Tenant => None,
        };
        let key = (question.tenant.id.clone(), account, kind);
        if let Some(cached) = self.bundles.find(&key) {
            return Some(cached);
        }
        let tenant = self.tenants.find(&question.tenant.id)?;
        let own = match account {
            Some(account) => Vec::from_iter(grant_policies::of_kind(tenant, tenant.grant(account)?, kind)),
            None => grant_policies::of_tenant(tenant, kind),
        };
        let bundle = Arc::new(PolicyBundle::new(&self.validator, &self.shared, own));
        self.bundles.insert(key, Arc::clone(&bundle));
        Some(bundle)
    }
}

impl Authorize for CedarPolicy {
    fn decide(&self, question: &AuthzRequest<'_>) -> Decision {
        let undecided = |policies| Decision::Deny(Denial::Undecided { policies });
        let Some(request) = CedarRequest::of(question, &self.entities) else { return undecided(Vec::new()) };
        let Some(bundle) = self.policies_for(question, request.kind) else {
            return Decision::Deny(Denial::NotPermitted);
        };
        if let Some(broken) = &bundle.broken {
            return undecided(vec![Arc::clone(broken)]);
        }
        let missing_facts = bundle.fact_policies.missing_facts(question, &request);
        if !missing_facts.is_empty() && self.is_possibly_authorized(&bundle, &request, &missing_facts) {
            return undecided([missing_facts.key_tags, missing_facts.previous_key].concat());
        }
        let response = self.authorizer.is_authorized(request.request.clone(), &bundle.all, &request.entities);
        // Cedar skips a policy whose evaluation fails. A failing forbid would then permit what it forbids.
        if !response.diagnostics.errors.is_empty() {
            return undecided(response.diagnostics.errors.iter().map(failed_policy).collect());
        }
        match response.decision {
            Verdict::Allow => Decision::Allow { policies: sorted(&response.diagnostics.reason) },
            Verdict::Deny if self.is_authorized(&bundle, &request) => {
                Decision::Deny(Denial::Forbidden { policies: sorted(&response.diagnostics.reason) })
            }
            Verdict::Deny => Decision::Deny(Denial::NotPermitted),
        }
    }

    fn required_facts(&self, question: &AuthzRequest<'_>) -> RequiredFacts {
        let bundle = request::kind(question).and_then(|kind| self.policies_for(question, kind));
        let Some(bundle) = bundle.filter(|bundle| !bundle.fact_policies.is_empty()) else {
            return RequiredFacts::default();
        };
        let Some(request) = CedarRequest::of(question, &self.entities) else {
            return RequiredFacts::default();
        };
        let missing_facts = bundle.fact_policies.missing_facts(question, &request);
        let not_needed =
            missing_facts.is_empty() || !self.is_possibly_authorized(&bundle, &request, &missing_facts);
        if not_needed { RequiredFacts::default() } else { missing_facts }
    }
}

impl CedarPolicy {
    /// Whether a permit applies to the call, ignoring every forbid. Without a permit the resource looks as if
    /// it did not exist, so a forbid must not reveal it.
    fn is_authorized(&self, bundle: &PolicyBundle, request: &CedarRequest) -> bool {
        let response =
            self.authorizer.is_authorized(request.request.clone(), &bundle.permits, &request.entities);
        response.decision == Verdict::Allow
    }

    /// Whether a permit applies to the call, or could apply once the missing facts are known. For other calls
    /// the service looks up no facts, because the resource looks as if it did not exist.
    fn is_possibly_authorized(
        &self,
        bundle: &PolicyBundle,
        request: &CedarRequest,
        missing_facts: &RequiredFacts,
    ) -> bool {
        let permit = |id: &Arc<str>| bundle.permits.get(&PolicyID::from_string(&**id)).is_some();
        self.is_authorized(bundle, request)
            || missing_facts.key_tags.iter().chain(&missing_facts.previous_key).any(permit)
    }
}

fn failed_policy(error: &AuthorizationError) -> Arc<str> {
    let AuthorizationError::PolicyEvaluationError { id, .. } = error;
    Arc::from(id.as_ref())
}

fn sorted(ids: &HashSet<PolicyID>) -> Vec<Arc<str>> {
    let mut ids: Vec<Arc<str>> = ids.iter().map(|id| Arc::from(id.as_ref())).collect();
    ids.sort_unstable();
    ids
}

impl fmt::Debug for CedarPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tenants, shared) = (self.tenants.len(), self.shared.len());
        f.debug_struct("CedarPolicy")
            .field("tenants", &tenants)
            .field("shared", &shared)
            .finish_non_exhaustive()
    }
}
