//! Checks that a rule names only what the tenant has.

use crate::{
    domain::{association::UnresolvedLocation, fleet::RuleDefinition, tenant::Tenant},
    service::error::{Error, RequestError},
};

/// Fails if a rule selects an account or Region that the tenant does not have, or has no key for a location.
pub(super) fn check_definition(tenant: &Tenant, definition: &RuleDefinition) -> Result<(), Error> {
    let RuleDefinition { selection, key, .. } = definition;
    let not_found = |account, region| {
        Error::Request(RequestError::AccountNotFound(UnresolvedLocation { account, region }))
    };
    for account in &selection.accounts {
        tenant.grant(*account).ok_or_else(|| not_found(Some(*account), None))?;
    }
    for region in &selection.regions {
        let has_region = tenant.accounts.iter().any(|grant| {
            (selection.accounts.is_empty() || selection.accounts.contains(&grant.account))
                && grant.allows_region(region)
        });
        if !has_region {
            return Err(not_found(None, Some(region.clone())));
        }
    }
    let locations = selection.locations(tenant);
    if locations.is_empty() {
        return Err(not_found(None, None));
    }
    if let Some(location) = locations.iter().find(|location| key.for_location(location).is_none()) {
        return Err(Error::Request(RequestError::Invalid {
            field: "key.kms_key_id",
            problem: format!(
                "is required, because no override is for account {} and Region {}",
                location.account, location.region
            ),
        }));
    }
    Ok(())
}
