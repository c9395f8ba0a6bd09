//! The Key Management Service: reads and changes keys, aliases, key policies and tags.

mod change;
mod read;
mod tags;

use std::sync::Arc;

use super::{
    api_error::ApiError,
    authorizer::Context,
    state::keys::Key,
    wire::{Answer, Service},
};

/// Runs one operation.
pub(crate) fn execute(context: &Context<'_>) -> Result<Answer, ApiError> {
    match context.call.operation.as_str() {
        "DescribeKey" => read::describe_key(context),
        "GetKeyPolicy" => read::key_policy(context),
        "ListAliases" => read::list_aliases(context),
        "ListKeys" => read::list_keys(context),
        "ListResourceTags" => tags::list(context),
        "TagResource" => tags::put(context),
        "UntagResource" => tags::remove(context),
        "CreateKey" => change::create_key(context),
        "CreateAlias" | "UpdateAlias" => change::put_alias(context),
        "PutKeyPolicy" => change::put_key_policy(context),
        "EnableKey" => change::set_state(context, "Enabled"),
        "DisableKey" => change::set_state(context, "Disabled"),
        "ScheduleKeyDeletion" => change::schedule_deletion(context),
        "CancelKeyDeletion" => change::cancel_deletion(context),
        other => Err(ApiError::unknown_operation(Service::Kms, other)),
    }
}

/// Finds the key for a key id, a key ARN, `alias/name` or an alias ARN. A name without an account belongs to
/// the caller's account.
///
/// # Errors
///
/// KMS's error for a key that does not exist, or for another account's key that the caller cannot use.
pub(crate) fn resolve(context: &Context<'_>, action: &str, name: &str) -> Result<Arc<Key>, ApiError> {
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

fn find(keys: &super::state::keys::KeyRing, resource: &str) -> Option<Arc<Key>> {
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
