//! Policy, as Cedar decides it: the shared policies and those of one tenant's grants, judged once for
//! every call. Built whole by [`CedarPolicy::load`], then only read; a change builds another one.

mod explain;
mod fault;
mod grants;
mod load;
mod made;
mod request;
mod slice;
#[cfg(test)]
mod tests;
mod wants;

use std::{collections::HashSet, fmt, sync::Arc};

use cedar_policy::{Policy, Validator};
use cedar_policy_core::{
    ast::PolicyID,
    authorizer::{AuthorizationError, Authorizer, Decision as Verdict},
};

pub use self::{
    explain::{Applies, Explanation, Opinion},
    fault::PolicyFault,
    grants::GrantPolicy,
};
use self::{
    made::Made,
    request::{Asked, Kind},
    slice::Slice,
};
use super::recent::Recent;
use crate::{
    domain::{
        authorization::{About, Decision, Denial, Question, Wants},
        aws::AccountId,
        tenant::{Tenant, TenantId, Tenants},
    },
    ports::{Authorize, Clock},
};

/// How many accounts of tenants, and tenants themselves, are kept ready to be judged, each once per kind
/// of resource. Others are made ready when they are asked for, in a fraction of a millisecond.
const READY: usize = 4096;

/// Decides by Cedar policies.
pub struct CedarPolicy {
    tenants: Arc<Tenants>,
    shared: Vec<Policy>,
    validator: Validator,
    authorizer: Authorizer,
    ready: Recent<(TenantId, Option<AccountId>, Kind), Arc<Slice>>,
    made: Made,
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
        let validator = Validator::new(load::schema().map_err(|fault| vec![fault])?);
        let shared = load::operator_policies(&validator, operator_policies)?;
        Ok(Self {
            tenants,
            shared,
            validator,
            authorizer: Authorizer::new(),
            ready: Recent::new(READY),
            made: Made::new(clock),
        })
    }

    /// Everything that is wrong with operators' policies, each file by its name and text.
    #[must_use]
    pub fn check(operator_policies: &[(String, String)]) -> Vec<PolicyFault> {
        let checked = load::schema()
            .map_err(|fault| vec![fault])
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
        grants::policies(tenant)
    }

    /// The policies that every tenant has, whatever it was granted: to know itself and its part of the
    /// audit log.
    #[must_use]
    pub fn every_tenants(tenant: &Tenant) -> Vec<GrantPolicy> {
        grants::every_tenants(tenant)
    }

    /// The operators' policies that hold for every tenant, by their ids and in Cedar.
    pub fn shared(&self) -> impl Iterator<Item = (&str, String)> {
        self.shared.iter().map(|policy| (policy.id().as_ref(), policy.to_string()))
    }

    fn slice(&self, question: &Question<'_>, kind: Kind) -> Option<Arc<Slice>> {
        let account = match question.about {
            About::Aws { place, .. } => Some(place.account),
            About::Account(grant) => Some(grant.account),
            About::AuditLog(_) | About::Tenant => None,
        };
        let key = (question.tenant.id.clone(), account, kind);
        if let Some(ready) = self.ready.find(&key) {
            return Some(ready);
        }
        let tenant = self.tenants.find(&question.tenant.id)?;
        let own = match account {
            Some(account) => Vec::from_iter(grants::of_kind(tenant, tenant.grant(account)?, kind)),
            None => grants::of_tenant(tenant, kind),
        };
        let slice = Arc::new(Slice::new(&self.validator, &self.shared, own));
        self.ready.insert(key, Arc::clone(&slice));
        Some(slice)
    }
}

impl Authorize for CedarPolicy {
    fn decide(&self, question: &Question<'_>) -> Decision {
        let undecided = |policies| Decision::Deny(Denial::Undecided { policies });
        let Some(asked) = Asked::of(question, &self.made) else { return undecided(Vec::new()) };
        let Some(slice) = self.slice(question, asked.kind) else {
            return Decision::Deny(Denial::NotPermitted);
        };
        if let Some(broken) = &slice.broken {
            return undecided(vec![Arc::clone(broken)]);
        }
        let untold = slice.askers.untold(question, &asked);
        if !untold.is_empty() && self.may_permit(&slice, &asked, &untold) {
            return undecided([untold.key_tags, untold.previous_key].concat());
        }
        let said = self.authorizer.is_authorized(asked.request.clone(), &slice.all, &asked.entities);
        // Cedar leaves out a policy that fails: a broken forbid would then permit what it forbids.
        if !said.diagnostics.errors.is_empty() {
            return undecided(said.diagnostics.errors.iter().map(failed).collect());
        }
        match said.decision {
            Verdict::Allow => Decision::Allow { policies: sorted(&said.diagnostics.reason) },
            Verdict::Deny if self.permits(&slice, &asked) => {
                Decision::Deny(Denial::Forbidden { policies: sorted(&said.diagnostics.reason) })
            }
            Verdict::Deny => Decision::Deny(Denial::NotPermitted),
        }
    }

    fn wants(&self, question: &Question<'_>) -> Wants {
        let slice = request::kind(question).and_then(|kind| self.slice(question, kind));
        let Some(slice) = slice.filter(|slice| !slice.askers.is_empty()) else { return Wants::default() };
        let Some(asked) = Asked::of(question, &self.made) else { return Wants::default() };
        let untold = slice.askers.untold(question, &asked);
        let in_vain = untold.is_empty() || !self.may_permit(&slice, &asked, &untold);
        if in_vain { Wants::default() } else { untold }
    }
}

impl CedarPolicy {
    /// Whether the call would be permitted but for what forbids it: otherwise its object is as if it
    /// did not exist, and a forbid must not tell that it does.
    fn permits(&self, slice: &Slice, asked: &Asked) -> bool {
        let said = self.authorizer.is_authorized(asked.request.clone(), &slice.permits, &asked.entities);
        said.decision == Verdict::Allow
    }

    /// Whether the call is permitted, or would be by a policy that was not told all it asks for: nothing
    /// is looked up for what is as if absent.
    fn may_permit(&self, slice: &Slice, asked: &Asked, untold: &Wants) -> bool {
        let permit = |id: &Arc<str>| slice.permits.get(&PolicyID::from_string(&**id)).is_some();
        self.permits(slice, asked) || untold.key_tags.iter().chain(&untold.previous_key).any(permit)
    }
}

fn failed(error: &AuthorizationError) -> Arc<str> {
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
