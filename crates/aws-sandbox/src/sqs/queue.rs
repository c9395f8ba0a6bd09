//! Creates queues and finds them by their URLs.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, json};

use super::attributes;
use crate::{
    api_error::ApiError,
    authorizer::Context,
    state::{aws::AwsState, queues::Queue},
    validate,
    wire::answer::Answer,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    queue_name: String,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

pub(super) fn create(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: Named = context.call.input()?;
    let name = &input.queue_name;
    if !validate::queue_name(name) {
        let text = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
        return Err(ApiError::new("InvalidParameterValue", text));
    }
    let arn = context.region.arn("sqs", name);
    context.authorize("sqs:CreateQueue", &[&arn], &[])?;
    let settings = attributes::parse(&input.attributes)?;
    if let Some(redrive) = &settings.redrive
        && find(context.state, &redrive.dead_letter_arn).is_none()
    {
        let text = "Value for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist.";
        return Err(ApiError::new("InvalidParameterValue", text));
    }
    let mut queues = context.region.queues();
    let queue = queues.create(name, || Queue::new(arn, settings.clone(), context.now));
    if queue.settings() != settings {
        let text = "A queue already exists with the same name and a different value for an attribute";
        return Err(ApiError::new("QueueNameExists", text));
    }
    Ok(Answer::Json(json!({ "QueueUrl": url_of(context, name) })))
}

pub(super) fn url(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: Named = context.call.input()?;
    let name = &input.queue_name;
    context.authorize("sqs:GetQueueUrl", &[&context.region.arn("sqs", name)], &[])?;
    let own = input.owner.as_ref().is_none_or(|owner| *owner == context.account.id);
    let exists = own && context.region.queues().get(name).is_some();
    if !exists {
        return Err(ApiError::queue_not_found());
    }
    Ok(Answer::Json(json!({ "QueueUrl": url_of(context, name) })))
}

pub(super) fn attributes(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: Attributes = context.call.input()?;
    let queue = authorized(context, &input.queue_url)?;
    let (mut visible, mut hidden) = (0, 0);
    for message in queue.messages().iter() {
        if message.visible <= context.now { visible += 1 } else { hidden += 1 }
    }
    let mut all = attributes::render(&queue.settings());
    all.insert("QueueArn", queue.arn.clone());
    all.insert("CreatedTimestamp", queue.created.as_second().to_string());
    all.insert("ApproximateNumberOfMessages", visible.to_string());
    all.insert("ApproximateNumberOfMessagesNotVisible", hidden.to_string());
    all.insert("ApproximateNumberOfMessagesDelayed", "0".to_owned());
    let names = &input.attribute_names;
    let every = names.iter().any(|name| name == "All");
    all.retain(|attribute, _| every || names.iter().any(|name| name == attribute));
    let selected: serde_json::Map<String, Value> =
        all.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    Ok(Answer::Json(if selected.is_empty() { json!({}) } else { json!({ "Attributes": selected }) }))
}

/// The queue of a URL, if the caller may perform the current operation on it.
pub(super) fn authorized(context: &Context<'_>, url: &str) -> Result<Arc<Queue>, ApiError> {
    let mut path = url.rsplit('/');
    let (name, account) = (path.next().unwrap_or_default(), path.next().unwrap_or_default());
    // A batch needs the permission of its single operation.
    let operation = &context.call.operation;
    let action = format!("sqs:{}", operation.strip_suffix("Batch").unwrap_or(operation));
    let arn = context.region.arn("sqs", name);
    if !validate::is_account(account) || !validate::queue_name(name) {
        return Err(ApiError::new(
            "InvalidAddress",
            format!("The address {url} is not valid for this endpoint."),
        ));
    }
    if account != context.account.id {
        // The sandbox has no queue policies, so only the account of a queue may use it.
        let theirs = arn.replace(&context.account.id, account);
        return Err(context.cross_account_denial(&action, &theirs));
    }
    context.authorize(&action, &[&arn], &[])?;
    context.region.queues().get(name).ok_or_else(ApiError::queue_not_found)
}

/// The queue with this ARN.
pub(crate) fn find(state: &AwsState, arn: &str) -> Option<Arc<Queue>> {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, region) = (parts.next()?, parts.next()?);
    let (account, name) = (parts.next()?, parts.next()?);
    let region = state.account(account)?.region(region)?;
    let queue = region.queues().get(name);
    queue.filter(|_| service == "sqs")
}

/// The URL of a queue of the caller, at the address that the caller used.
fn url_of(context: &Context<'_>, name: &str) -> String {
    format!("http://{}/{}/{name}", context.call.host, context.account.id)
}
