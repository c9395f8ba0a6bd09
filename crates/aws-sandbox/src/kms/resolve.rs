//! Finds the key that a request names.

use std::sync::Arc;

use crate::{
    api_error::ApiError,
    authorizer::Context,
    service::Service,
    state::keys::{Key, KeyRing},
    validate,
};

/// Finds the key for a key id, a key ARN, `alias/name` or an alias ARN. A name without an account belongs to
/// the caller's account.
///
/// # Errors
///
/// KMS's error for a key that does not exist, or for another account's key that the caller cannot use.
pub(super) fn resolve(context: &Context<'_>, action: &str, name: &str) -> Result<Arc<Key>, ApiError> {
    let here = &context.region;
    if let Some(rest) = name.strip_prefix("arn:") {
        let mut parts = rest.splitn(5, ':');
        let mut next = || parts.next().unwrap_or_default();
        let (_partition, service, region, account, resource) = (next(), next(), next(), next(), next());
        if service != "kms" || region != here.name {
            return Err(ApiError::key_not_found(format!("Invalid arn {region}")));
        }
        let key = context
            .state
            .account(account)
            .and_then(|account| account.region(region))
            .and_then(|region| find(&region.keys(), resource));
        return key.ok_or_else(|| {
            if account == here.account_id {
                not_found(name, resource)
            } else {
                context.cross_account_denial(action, name)
            }
        });
    }
    let resource = if name.starts_with("alias/") { name.to_owned() } else { format!("key/{name}") };
    find(&here.keys(), &resource).ok_or_else(|| {
        let arn = here.arn("kms", &resource);
        not_found(&arn, &resource)
    })
}

/// Finds a key that must be in the caller's account and cannot be named by an alias, and checks that the caller
/// may perform `action` with it.
pub(super) fn own_key(context: &Context<'_>, action: &str, key_id: &str) -> Result<Arc<Key>, ApiError> {
    validate::length(Service::Kms, "keyId", key_id, 2048)?;
    if key_id.starts_with("alias/") || key_id.contains(":alias/") {
        return Err(ApiError::new("InvalidArnException", format!("Invalid keyId {key_id}")));
    }
    let key = resolve(context, action, key_id)?;
    if key.account_id != context.account.id {
        return Err(context.cross_account_denial(action, &key.arn));
    }
    context.authorize_key(&key, action, &[])?;
    Ok(key)
}

fn find(keys: &KeyRing, resource: &str) -> Option<Arc<Key>> {
    match resource.strip_prefix("key/") {
        Some(id) => keys.key(id),
        None => keys.aliased(resource),
    }
}

fn not_found(arn: &str, resource: &str) -> ApiError {
    if resource.starts_with("alias/") {
        return ApiError::key_not_found(format!("Alias {arn} is not found."));
    }
    ApiError::key_not_found(format!("Key '{arn}' does not exist"))
}
