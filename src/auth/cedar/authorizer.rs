//! Authorizes every call with Cedar, by the operators' policies and the grants of one tenant.
//! [`CedarPolicy::load`] builds it. It never changes after that; a reload builds a new one.

use std::{fmt, sync::Arc};

use cedar_policy::{Policy, Validator};
use quick_cache::sync::Cache;

use super::{
    engine::{policies::Verdict, request::EvaluationRequest},
    entity_cache::EntityCache,
    fault::PolicyFault,
    grant_policies::{self, GrantPolicy},
    load,
    policy_bundle::PolicyBundle,
    request::CedarRequest,
    resource_kind::ResourceKind,
};
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
    pub(super) shared: Vec<Policy>,
    validator: Validator,
    bundles: Cache<BundleKey, Arc<PolicyBundle>>,
    pub(super) entities: EntityCache,
}

/// Which calls a bundle decides.
#[derive(PartialEq, Eq, Hash)]
struct BundleKey {
    tenant: TenantId,
    account: Option<AccountId>,
    kind: ResourceKind,
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
            bundles: Cache::new(CACHED_BUNDLES),
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

    pub(super) fn policies_for(
        &self,
        question: &AuthzRequest<'_>,
        kind: ResourceKind,
    ) -> Option<Arc<PolicyBundle>> {
        let account = match question.about {
            ResourceScope::Aws { location, .. } => Some(location.account),
            ResourceScope::Account(grant) => Some(grant.account),
            ResourceScope::AuditLog(_) | ResourceScope::Tenant | ResourceScope::Fleet(_) => None,
        };
        let key = BundleKey { tenant: question.tenant.id.clone(), account, kind };
        if let Some(cached) = self.bundles.get(&key) {
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
        let request = &request.evaluation;
        let missing_facts = bundle.fact_policies.missing_facts(question, request);
        if !missing_facts.is_empty() && is_possibly_authorized(&bundle, request, &missing_facts) {
            return undecided([missing_facts.key_tags, missing_facts.previous_key].concat());
        }
        let Verdict { allowed, determining: policies, failed } = bundle.policies.decide(request);
        // Cedar skips a policy whose evaluation fails. A failing forbid would then permit what it forbids.
        if !failed.is_empty() {
            return undecided(failed);
        }
        if allowed {
            Decision::Allow { policies }
        } else if bundle.policies.any_permit_applies(request) {
            Decision::Deny(Denial::Forbidden { policies })
        } else {
            // Without a permit the resource looks as if it did not exist, so a forbid must not reveal it.
            Decision::Deny(Denial::NotPermitted)
        }
    }

    fn required_facts(&self, question: &AuthzRequest<'_>) -> RequiredFacts {
        let bundle = ResourceKind::of(question).and_then(|kind| self.policies_for(question, kind));
        let Some(bundle) = bundle.filter(|bundle| !bundle.fact_policies.is_empty()) else {
            return RequiredFacts::default();
        };
        let Some(request) = CedarRequest::of(question, &self.entities) else {
            return RequiredFacts::default();
        };
        let request = &request.evaluation;
        let missing_facts = bundle.fact_policies.missing_facts(question, request);
        let not_needed =
            missing_facts.is_empty() || !is_possibly_authorized(&bundle, request, &missing_facts);
        if not_needed { RequiredFacts::default() } else { missing_facts }
    }
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

/// Whether a permit applies to the call, or could apply once the missing facts are known. For other calls the
/// service looks up no facts, because the resource looks as if it did not exist.
fn is_possibly_authorized(
    bundle: &PolicyBundle,
    request: &EvaluationRequest,
    missing_facts: &RequiredFacts,
) -> bool {
    bundle.policies.any_permit_applies(request)
        || missing_facts
            .key_tags
            .iter()
            .chain(&missing_facts.previous_key)
            .any(|id| bundle.policies.is_permit(id))
}
