//! Checks that jobs and rules name only what the tenant has.

use crate::{
    domain::{
        association::{Location, UnresolvedLocation},
        fleet::{KeyChoice, Selection},
        tenant::Tenant,
    },
    service::error::{Error, RequestError},
};

/// The locations of the selection. Fails if the selection names an account or Region that the tenant does not have,
/// or if `key` is the choice of a key and has none for a location.
pub(super) fn granted_locations(
    tenant: &Tenant,
    selection: &Selection,
    key: Option<&KeyChoice>,
) -> Result<Vec<Location>, Error> {
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
    for resource in &selection.resources {
        let grant = tenant.grant(resource.account);
        if !grant.is_some_and(|grant| grant.allows_region(&resource.region)) {
            return Err(not_found(Some(resource.account), Some(resource.region.clone())));
        }
    }
    let locations = selection.locations(tenant);
    if locations.is_empty() {
        return Err(not_found(None, None));
    }
    if let Some(key) = key
        && let Some(location) = locations.iter().find(|location| key.for_location(location).is_none())
    {
        return Err(Error::Request(RequestError::Invalid {
            field: "key.kms_key_id",
            problem: format!(
                "is required, because no override is for account {} and Region {}",
                location.account, location.region
            ),
        }));
    }
    Ok(locations)
}
