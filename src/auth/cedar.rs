//! Policy, as Cedar decides it: the shared policies and those of one tenant's grants, judged once for
//! every call. Built whole by [`CedarPolicy::load`], then only read; a change builds another one.

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

/// How many accounts of tenants, and tenants themselves, are kept ready to be judged, each once per kind
/// of resource. Others are made ready when they are asked for, in a fraction of a millisecond.
const CACHED_BUNDLES: usize = 4096;

/// Decides by Cedar policies.
pub struct CedarPolicy {
    tenants: Arc<Tenants>,
    shared: Vec<Policy>,
    validator: Validator,
    authorizer: Authorizer,
    ready: TwoGenCache<(TenantId, Option<AccountId>, ResourceKind), Arc<PolicyBundle>>,
    entities: EntityCache,
}

// === impl CedarPolicy ===

impl CedarPolicy {
    /// Holds the operators' policies, each file by its name and text, against the schema.
    ///
    /// # Errors
    ///
    /// Every [`PolicyFault`].
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
            ready: TwoGenCache::new(CACHED_BUNDLES),
            entities: EntityCache::new(clock),
        })
    }

    /// Everything that is wrong with operators' policies, each file by its name and text.
    #[must_use]
    pub fn check(operator_policies: &[(String, String)]) -> Vec<PolicyFault> {
        let checked = load::schema()
            .map_err(|diagnostic| vec![diagnostic])
            .and_then(|schema| load::operator_policies(&Validator::new(schema), operator_policies).map(drop));
        checked.err().unwrap_or_default()
    }

    /// The schema that operators' policies are held against, in Cedar's own language.
    #[must_use]
    pub fn schema() -> &'static str {
        load::SCHEMA
    }

    /// The policies that a tenant's grants become.
    #[must_use]
    pub fn grants_of(tenant: &Tenant) -> Vec<GrantPolicy> {
        grant_policies::policies(tenant)
    }

    /// The policies that every tenant has, whatever it was granted: to know itself and its part of the
    /// audit log.
    #[must_use]
    pub fn global_policies(tenant: &Tenant) -> Vec<GrantPolicy> {
        grant_policies::global_policies(tenant)
    }

    /// The operators' policies that hold for every tenant, by their ids and in Cedar.
    pub fn policy_bundle(&self) -> impl Iterator<Item = (&str, String)> {
        self.shared.iter().map(|policy| (policy.id().as_ref(), policy.to_string()))
    }

    fn policies_for(&self, question: &AuthzRequest<'_>, kind: ResourceKind) -> Option<Arc<PolicyBundle>> {
        let account = match question.about {
            ResourceScope::Aws { location, .. } => Some(location.account),
            ResourceScope::Account(grant) => Some(grant.account),
            ResourceScope::AuditLog(_) | ResourceScope::Tenant => None,
        };
        let key = (question.tenant.id.clone(), account, kind);
        if let Some(ready) = self.ready.find(&key) {
            return Some(ready);
        }
        let tenant = self.tenants.find(&question.tenant.id)?;
        let own = match account {
            Some(account) => Vec::from_iter(grant_policies::of_kind(tenant, tenant.grant(account)?, kind)),
            None => grant_policies::of_tenant(tenant, kind),
        };
        let slice = Arc::new(PolicyBundle::new(&self.validator, &self.shared, own));
        self.ready.insert(key, Arc::clone(&slice));
        Some(slice)
    }
}

impl Authorize for CedarPolicy {
    fn decide(&self, question: &AuthzRequest<'_>) -> Decision {
        let undecided = |policies| Decision::Deny(Denial::Undecided { policies });
        let Some(request) = CedarRequest::of(question, &self.entities) else { return undecided(Vec::new()) };
        let Some(slice) = self.policies_for(question, request.kind) else {
            return Decision::Deny(Denial::NotPermitted);
        };
        if let Some(broken) = &slice.broken {
            return undecided(vec![Arc::clone(broken)]);
        }
        let missing_facts = slice.askers.missing_facts(question, &request);
        if !missing_facts.is_empty() && self.is_possibly_authorized(&slice, &request, &missing_facts) {
            return undecided([missing_facts.key_tags, missing_facts.previous_key].concat());
        }
        let response = self.authorizer.is_authorized(request.request.clone(), &slice.all, &request.entities);
        // Cedar leaves out a policy that fails: a broken forbid would then permit what it forbids.
        if !response.diagnostics.errors.is_empty() {
            return undecided(response.diagnostics.errors.iter().map(deny_on_error).collect());
        }
        match response.decision {
            Verdict::Allow => Decision::Allow { policies: sorted(&response.diagnostics.reason) },
            Verdict::Deny if self.is_authorized(&slice, &request) => {
                Decision::Deny(Denial::Forbidden { policies: sorted(&response.diagnostics.reason) })
            }
            Verdict::Deny => Decision::Deny(Denial::NotPermitted),
        }
    }

    fn required_facts(&self, question: &AuthzRequest<'_>) -> RequiredFacts {
        let slice = request::kind(question).and_then(|kind| self.policies_for(question, kind));
        let Some(slice) = slice.filter(|slice| !slice.askers.is_empty()) else {
            return RequiredFacts::default();
        };
        let Some(request) = CedarRequest::of(question, &self.entities) else {
            return RequiredFacts::default();
        };
        let missing_facts = slice.askers.missing_facts(question, &request);
        let in_vain =
            missing_facts.is_empty() || !self.is_possibly_authorized(&slice, &request, &missing_facts);
        if in_vain { RequiredFacts::default() } else { missing_facts }
    }
}

impl CedarPolicy {
    /// Whether the call would be permitted but for what forbids it: otherwise its object is as if it
    /// did not exist, and a forbid must not tell that it does.
    fn is_authorized(&self, slice: &PolicyBundle, request: &CedarRequest) -> bool {
        let response =
            self.authorizer.is_authorized(request.request.clone(), &slice.permits, &request.entities);
        response.decision == Verdict::Allow
    }

    /// Whether the call is permitted, or would be by a policy that was not told all it asks for: nothing
    /// is looked up for what is as if absent.
    fn is_possibly_authorized(
        &self,
        slice: &PolicyBundle,
        request: &CedarRequest,
        missing_facts: &RequiredFacts,
    ) -> bool {
        let permit = |id: &Arc<str>| slice.permits.get(&PolicyID::from_string(&**id)).is_some();
        self.is_authorized(slice, request)
            || missing_facts.key_tags.iter().chain(&missing_facts.previous_key).any(permit)
    }
}

fn deny_on_error(error: &AuthorizationError) -> Arc<str> {
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
