//! What a caller may see of coverage.

use std::{collections::HashSet, sync::Arc};

use super::ports::CoverageQueries;
use crate::{
    domain::{
        association::{ListKeyAssociations, Location, UnresolvedLocation},
        authorization::{FleetResource, PolicyFacts, ResourceScope},
        fleet::RuleId,
        fleet_kind::FleetKind,
        principal::Scope,
        tenant::{Tenant, TenantId},
    },
    ports::coverage::{CoverageFilter, TenantLocation},
    service::{
        context::Context,
        error::{AccessError, Error, RequestError},
    },
};

/// The filters that reads of coverage share. `None` is every value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoverageScope {
    /// The account and Region.
    pub location: UnresolvedLocation,
    /// The rule.
    pub rule: Option<Box<str>>,
    /// The tenant.
    pub tenant: Option<TenantId>,
}

/// What one call may see.
#[derive(Debug)]
pub(super) struct Visible {
    /// The tenant. `None` is every tenant.
    pub(super) owner: Option<TenantId>,
    /// The caller's tenant, if policy decides about each resource. `None` for an operator.
    pub(super) restricted_to: Option<Arc<Tenant>>,
    /// The granted locations that match the scope.
    pub(super) granted: HashSet<TenantLocation>,
    location: UnresolvedLocation,
}

// === impl CoverageQueries ===

impl CoverageQueries {
    /// What the call may see. `None` if the scope names a tenant that the caller may not see.
    pub(super) async fn visible(
        &self,
        cx: &mut Context,
        scope: &CoverageScope,
    ) -> Result<Option<Visible>, Error> {
        let is_operator = cx.caller.scopes.contains(Scope::Admin);
        if !is_operator {
            cx.require(Scope::Read)?;
        }
        let tenant = cx.tenant()?;
        let owner = match &scope.tenant {
            Some(requested) if *requested != tenant.id && !is_operator => return Ok(None),
            Some(requested) => Some(requested.clone()),
            None if is_operator => None,
            None => Some(tenant.id.clone()),
        };
        let is_own = |owner: &Option<TenantId>| owner.as_ref() == Some(&tenant.id);
        let (owner, restricted_to) = match authorize(cx, &tenant, owner.as_ref()) {
            Ok(()) if is_operator => (owner, None),
            Ok(()) => (owner, Some(tenant)),
            // An operator whom policy denies the coverage of all tenants still sees its own.
            Err(Error::Access(AccessError::NotAllowed { .. }))
                if !is_own(&owner) && scope.tenant.is_none() =>
            {
                cx.require(Scope::Read)?;
                authorize(cx, &tenant, Some(&tenant.id))?;
                (Some(tenant.id.clone()), Some(tenant))
            }
            Err(error) => return Err(error),
        };
        let granted = if let Some(own) = &restricted_to {
            listable(cx, own, &scope.location)
        } else {
            let mut tenants = cx.tenants();
            tenants.retain(|tenant| owner.as_ref().is_none_or(|owner| tenant.id == *owner));
            tenants.iter().flat_map(|tenant| locations(tenant, &scope.location)).collect()
        };
        if granted.is_empty() && scope.location != UnresolvedLocation::default() {
            return Err(Error::Request(RequestError::AccountNotFound(scope.location.clone())));
        }
        if let Some(rule) = &scope.rule
            && !self.has_rule(cx, owner.as_ref(), rule).await?
        {
            return Err(Error::Request(RequestError::RuleNotFound(rule.clone())));
        }
        Ok(Some(Visible { owner, restricted_to, granted, location: scope.location.clone() }))
    }
}

impl CoverageQueries {
    /// Whether the owner, or any tenant, has a rule with this id, by calls or in the configuration.
    async fn has_rule(&self, cx: &Context, owner: Option<&TenantId>, rule: &str) -> Result<bool, Error> {
        let Ok(id) = rule.parse::<RuleId>() else { return Ok(false) };
        let is_owner = |tenant: &&Arc<Tenant>| owner.is_none_or(|owner| tenant.id == *owner);
        let mut configured = cx.tenants();
        configured.retain(|tenant| is_owner(&tenant));
        if configured.iter().any(|tenant| tenant.rules.iter().any(|rule| rule.id == id)) {
            return Ok(true);
        }
        let found = cx.in_turn(self.ports.rules.find(owner, &id)).await?;
        Ok(found.is_some())
    }
}

fn authorize(cx: &mut Context, tenant: &Tenant, owner: Option<&TenantId>) -> Result<(), Error> {
    let resource = FleetResource { kind: FleetKind::Coverage, owner, id: "" };
    cx.authorize_scope(tenant, ResourceScope::Fleet(resource))
}

/// The tenant's locations that match the scope.
fn locations(tenant: &Tenant, scope: &UnresolvedLocation) -> Vec<TenantLocation> {
    let matching = tenant.accounts.iter().filter(|grant| scope.account.is_none_or(|it| it == grant.account));
    let locations = matching.flat_map(|grant| {
        let regions = grant.regions.iter();
        regions.map(|region| Location { account: grant.account, region: region.clone() })
    });
    locations
        .filter(|location| scope.region.as_ref().is_none_or(|region| *region == location.region))
        .map(|location| TenantLocation { tenant: tenant.id.clone(), location })
        .collect()
}

/// The tenant's locations that match the scope and whose log groups the caller may list.
fn listable(cx: &Context, tenant: &Arc<Tenant>, scope: &UnresolvedLocation) -> HashSet<TenantLocation> {
    let may_list = |at: &TenantLocation| {
        let command = ListKeyAssociations { location: at.location.clone() };
        cx.decide_command(&PolicyFacts::default(), tenant, command).is_ok()
    };
    locations(tenant, scope).into_iter().filter(may_list).collect()
}

// === impl Visible ===

impl Visible {
    /// The filter of reads from the store.
    pub(super) fn filter(&self) -> CoverageFilter {
        let UnresolvedLocation { account, region } = self.location.clone();
        CoverageFilter { tenant: self.owner.clone(), account, region }
    }
}
