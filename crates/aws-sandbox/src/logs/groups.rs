//! Creates, changes and deletes log groups.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{
    associate::usable_key,
    resource::{authorize_group, group_arn, parse_group_name},
};
use crate::{
    api_error::ApiError,
    authorizer::Context,
    state::groups::{DELIVERY, LogGroup},
    validate,
    wire::answer::Answer,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    log_group_name: String,
    kms_key_id: Option<String>,
    log_group_class: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    retention_in_days: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ByArn {
    resource_arn: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

pub(super) fn create(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input = read(context)?;
    let name = input.log_group_name;
    let class = input.log_group_class.unwrap_or_else(|| "STANDARD".to_owned());
    if name.to_ascii_lowercase().starts_with("aws/") {
        let text = "Log groups starting with AWS/ are reserved for AWS.";
        return Err(ApiError::invalid_parameter(text));
    }
    if !validate::LOG_GROUP_CLASSES.contains(&class.as_str()) {
        return Err(ApiError::invalid_parameter("Invalid logGroupClass"));
    }
    let arn = group_arn(&context.region, &name);
    let key = match &input.kms_key_id {
        Some(id) => Some(usable_key(context, id, &arn)?.arn.clone()),
        None => None,
    };
    let mut logs = context.region.logs();
    if logs.groups.contains_key(&name) {
        let text = "The specified log group already exists";
        return Err(ApiError::new("ResourceAlreadyExistsException", text));
    }
    let mut group = LogGroup::new(arn, class, context.now);
    group.kms_key = key;
    group.tags = input.tags;
    logs.groups.insert(name, group);
    Ok(Answer::Empty)
}

pub(super) fn delete(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input = read(context)?;
    let removed = context.region.logs().groups.remove(&input.log_group_name);
    removed.ok_or_else(ApiError::log_group_not_found)?;
    Ok(Answer::Empty)
}

pub(super) fn retention(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input = read(context)?;
    let days = input.retention_in_days;
    if days.is_some_and(|days| !validate::RETENTION_DAYS.contains(&days)) {
        return Err(ApiError::invalid_parameter("Invalid retentionInDays"));
    }
    let mut logs = context.region.logs();
    let group = logs.groups.get_mut(&input.log_group_name).ok_or_else(ApiError::log_group_not_found)?;
    if group.class == DELIVERY {
        // AWS's own answer is not known.
        let text = "The retention of a log group of class DELIVERY cannot be changed";
        return Err(ApiError::invalid_parameter(text));
    }
    group.retention_days = days;
    Ok(Answer::Empty)
}

pub(super) fn list_tags(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: ByArn = context.call.input()?;
    let name = parse_group_name(context, &input.resource_arn)?;
    authorize_group(context, name)?;
    let logs = context.region.logs();
    let group = logs.groups.get(name);
    let tags = &group.ok_or_else(ApiError::log_group_not_found)?.tags;
    Ok(Answer::Json(json!({ "tags": tags })))
}

pub(super) fn tag(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: ByArn = context.call.input()?;
    let name = parse_group_name(context, &input.resource_arn)?;
    authorize_group(context, name)?;
    let mut logs = context.region.logs();
    let group = logs.groups.get_mut(name);
    let group = group.ok_or_else(ApiError::log_group_not_found)?;
    group.tags.extend(input.tags);
    Ok(Answer::Empty)
}

fn read(context: &Context<'_>) -> Result<Input, ApiError> {
    let input: Input = context.call.input()?;
    validate::log_group_name(&input.log_group_name)?;
    authorize_group(context, &input.log_group_name)?;
    Ok(input)
}
