//! The Resource Groups Tagging API: returns the tags of log groups that a request names by ARN.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{api_error::ApiError, authorizer::Context, service::Service, wire::answer::Answer};

/// The maximum number of ARNs in one request (`GetResources` in the API reference).
const MAX_ARNS: usize = 100;

/// Other ways to select resources are not supported; a request with one is refused.
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

/// Returns the named log groups that have tags. Log groups that do not exist are omitted.
fn get_resources(context: &Context<'_>) -> Result<Answer, ApiError> {
    context.authorize("tag:GetResources", &["*"], &[])?;
    let Input { resource_arn_list } = context.call.input()?;
    if !(1..=MAX_ARNS).contains(&resource_arn_list.len()) {
        let rule = format!("Member must have length between 1 and {MAX_ARNS}");
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
