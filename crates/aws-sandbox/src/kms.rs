//! The Key Management Service: reads and changes keys, aliases, key policies and tags.

mod change;
mod read;
mod resolve;
mod tags;

use crate::{api_error::ApiError, authorizer::Context, service::Service, wire::answer::Answer};

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
