//! The Resource Groups Tagging API, as far as tools that go over log groups ask it for their tags.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api_error::ApiError,
    authorizer::Context,
    wire::{Answer, Service},
};

/// Most ARNs in one question (`GetResources` in the API reference).
const MAX: usize = 100;

/// Other ways to say which resources are meant are not served, and refused rather than passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Input {
    #[serde(rename = "ResourceARNList")]
    resource_arn_list: Vec<String>,
}

/// Runs one operation.
pub(crate) fn execute(context: &Context<'_>) -> Result<Answer, ApiError> {
    match context.call.operation.as_str() {
        "GetResources" => get_resources(context),
        other => Err(ApiError::unknown_operation(Service::Tagging, other)),
    }
}

/// Of the log groups that are named those that have tags; what does not exist is left out.
fn get_resources(context: &Context<'_>) -> Result<Answer, ApiError> {
    context.is_allowed("tag:GetResources", &["*"], &[])?;
    let Input { resource_arn_list } = context.call.input()?;
    if !(1..=MAX).contains(&resource_arn_list.len()) {
        let rule = format!("Member must have length between 1 and {MAX}");
        return Err(ApiError::constraint(Service::Tagging, "resourceARNList", "…", &rule));
    }
    let own = context.region.arn("logs", "log-group:");
    let logs = context.region.logs();
    let found = resource_arn_list.iter().filter_map(|arn| {
        let group = logs.groups.get(arn.strip_prefix(&own)?)?;
        let tags: Vec<Value> =
            group.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        (!tags.is_empty()).then(|| json!({ "ResourceARN": arn, "Tags": tags }))
    });
    let found: Vec<Value> = found.collect();
    Ok(Answer::Json(json!({ "PaginationToken": "", "ResourceTagMappingList": found })))
}
