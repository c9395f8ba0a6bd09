//! Loads the rules of a tenant: those of callers from the store, and those of the configuration with the status
//! that the store has.

use std::sync::Arc;

use crate::{
    domain::{
        fleet::{EncryptionRule, RuleId, RuleStatus},
        tenant::{Tenant, TenantId},
    },
    ports::{Unavailable, rules::RuleFilter},
    service::{fleet::ports::Fleet, state::ServiceState},
};

/// The number of rules that are read at once.
const PAGE: u32 = 500;

/// Every rule of a tenant.
pub(in crate::service::fleet) async fn load_rules(
    fleet: &Fleet,
    tenant: &Tenant,
) -> Result<Vec<EncryptionRule>, Unavailable> {
    let mut rules = configured_rules(fleet, tenant).await?;
    let mut filter = RuleFilter { tenant: Some(tenant.id.clone()), ..RuleFilter::default() };
    loop {
        let page = fleet.ports.rules.list(&filter, PAGE).await?;
        filter.after = page.last().map(Into::into);
        rules.extend(page);
        if filter.after.is_none() {
            return Ok(rules);
        }
    }
}

/// Whether a tenant that exists has rules.
pub(in crate::service::fleet) async fn has_rules(
    fleet: &Fleet,
    state: &Arc<ServiceState>,
    tenant: &TenantId,
) -> Result<bool, Unavailable> {
    let Some(tenant) = state.ports.rules.current_tenant(tenant) else { return Ok(false) };
    let filter = RuleFilter { tenant: Some(tenant.id.clone()), ..RuleFilter::default() };
    Ok(!tenant.rules.is_empty() || !fleet.ports.rules.list(&filter, 1).await?.is_empty())
}

/// The rules of a tenant in the configuration.
pub(super) async fn configured_rules(
    fleet: &Fleet,
    tenant: &Tenant,
) -> Result<Vec<EncryptionRule>, Unavailable> {
    if tenant.rules.is_empty() {
        return Ok(Vec::new());
    }
    let stored = fleet.ports.rules.configured(&tenant.id).await?;
    let with_status = |declared| {
        let mut rule = EncryptionRule::configured(&tenant.id, declared);
        if let Some(stored) = stored.iter().find(|stored| stored.id == rule.id) {
            // A changed rule is a new version, which is active again.
            rule.status = if stored.definition == rule.definition {
                stored.status.clone()
            } else {
                RuleStatus { version: stored.status.version + 1, ..RuleStatus::default() }
            };
        }
        rule
    };
    Ok(tenant.rules.iter().map(with_status).collect())
}

/// The rule of this tenant with this id.
pub(super) async fn find_rule(
    fleet: &Fleet,
    tenant: &Tenant,
    id: &RuleId,
) -> Result<Option<EncryptionRule>, Unavailable> {
    if id.is_generated() {
        return fleet.ports.rules.find(Some(&tenant.id), id).await;
    }
    let rules = configured_rules(fleet, tenant).await?;
    Ok(rules.into_iter().find(|rule| rule.id == *id))
}
