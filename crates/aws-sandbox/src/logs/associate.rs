//! `AssociateKmsKey` and `DisassociateKmsKey`.

use std::sync::Arc;

use serde::Deserialize;

use super::{
    resource::{authorize_group, group_arn},
    service,
};
use crate::{
    api_error::ApiError, authorizer::Context, partition, service::Service, state::keys::Key, validate,
    wire::answer::Answer,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    log_group_name: Option<String>,
    resource_identifier: Option<String>,
    kms_key_id: Option<String>,
}

/// The resource whose key is set.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Group(String),
    QueryResults,
}

pub(super) fn associate(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: Input = context.call.input()?;
    let Some(key_id) = &input.kms_key_id else {
        let rule = "Member must not be null";
        return Err(ApiError::constraint(Service::Logs, "kmsKeyId", "null", rule));
    };
    validate::length(Service::Logs, "kmsKeyId", key_id, 256)?;
    let target = target(context, &input)?;
    authorize_target(context, &target)?;
    require_group(context, &target)?;
    let key = usable_key(context, key_id, &resource_arn(context, &target))?;
    set(context, &target, Some(key.arn.clone()))
}

pub(super) fn disassociate(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: Input = context.call.input()?;
    let target = target(context, &input)?;
    authorize_target(context, &target)?;
    set(context, &target, None)
}

/// The key that `CloudWatch` Logs would use for `resource`, if every policy involved allows it.
pub(super) fn usable_key(context: &Context<'_>, key_id: &str, resource: &str) -> Result<Arc<Key>, ApiError> {
    let unusable = || {
        let text = format!(
            "The specified KMS key does not exist or is not allowed to be used with Arn '{resource}'"
        );
        ApiError::access_denied(Service::Logs, &text)
    };
    let region = &context.region.name;
    let prefix = format!("arn:{}:kms:{region}:", partition::of_region(region));
    // Fails for a bare key id, an alias, or a key of another Region.
    let (account, id) = key_id
        .strip_prefix(&prefix)
        .and_then(|rest| rest.split_once(":key/"))
        .ok_or_else(|| ApiError::invalid_parameter("The specified KMS Key Id could not be found"))?;
    let key = context
        .state
        .account(account)
        .and_then(|account| account.region(&context.region.name))
        .and_then(|region| region.keys().key(id))
        .ok_or_else(unusable)?;
    if key.manager != "CUSTOMER" {
        // The policy of an AWS managed key allows only the service that the key belongs to.
        return Err(unusable());
    }
    let service = service::principal(&context.region.name);
    let via = service::facts_through(&context.region, &service, resource);
    for action in service::ACTIONS {
        context.authorize_key(&key, action, &via)?;
    }
    if !service::may_use(&key, &context.region, resource) {
        return Err(unusable());
    }
    if !key.is_symmetric() {
        // AWS's own wording is not known.
        let text = format!("The specified KMS key '{}' is not symmetric", key.arn);
        return Err(ApiError::invalid_parameter(text));
    }
    if !key.is_usable() {
        // AWS's own wording is not known.
        let text = format!("The specified KMS key '{}' is not enabled", key.arn);
        return Err(ApiError::invalid_parameter(text));
    }
    Ok(key)
}

fn target(context: &Context<'_>, input: &Input) -> Result<Target, ApiError> {
    let name = match (&input.log_group_name, &input.resource_identifier) {
        (Some(name), None) => name.as_str(),
        (None, Some(identifier)) => {
            validate::resource_identifier(identifier)?;
            if *identifier == context.region.query_results_arn() {
                return Ok(Target::QueryResults);
            }
            let own = group_arn(&context.region, "");
            // AWS's own wording is not known, nor its answer to a trailing `:*`.
            identifier
                .strip_prefix(&own)
                .filter(|name| !name.contains(':'))
                .ok_or_else(|| ApiError::invalid_parameter("Invalid resourceIdentifier"))?
        }
        // AWS's own wording is not known.
        (Some(_), Some(_)) | (None, None) => {
            let text = "Exactly one of logGroupName and resourceIdentifier must be specified";
            return Err(ApiError::invalid_parameter(text));
        }
    };
    validate::log_group_name(name)?;
    if name.to_ascii_lowercase().starts_with("aws/") {
        let text = "Log groups starting with AWS/ are reserved for AWS.";
        return Err(ApiError::invalid_parameter(text));
    }
    Ok(Target::Group(name.to_owned()))
}

fn authorize_target(context: &Context<'_>, target: &Target) -> Result<(), ApiError> {
    match target {
        Target::Group(name) => authorize_group(context, name),
        Target::QueryResults => {
            let action = format!("logs:{}", context.call.operation);
            context.authorize(&action, &[&context.region.query_results_arn()], &[])
        }
    }
}

fn resource_arn(context: &Context<'_>, target: &Target) -> String {
    match target {
        Target::Group(name) => group_arn(&context.region, name),
        Target::QueryResults => context.region.query_results_arn(),
    }
}

fn require_group(context: &Context<'_>, target: &Target) -> Result<(), ApiError> {
    match target {
        Target::Group(name) if !context.region.logs().groups.contains_key(name) => {
            Err(ApiError::log_group_not_found())
        }
        Target::Group(_) | Target::QueryResults => Ok(()),
    }
}

fn set(context: &Context<'_>, target: &Target, key: Option<String>) -> Result<Answer, ApiError> {
    let mut logs = context.region.logs();
    match target {
        Target::QueryResults => logs.query_results_key = key,
        Target::Group(name) => {
            let group = logs.groups.get_mut(name);
            group.ok_or_else(ApiError::log_group_not_found)?.kms_key = key;
        }
    }
    Ok(Answer::Empty)
}
