//! Creates and lists log streams, and returns their events.

use serde::Deserialize;
use serde_json::{Value, json};

use super::resource::{authorize_stream, parse_group_name};
use crate::{
    api_error::ApiError, authorizer::Context, state::groups::Stream, validate, wire::answer::Answer,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamInput {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    #[serde(default)]
    log_stream_name: String,
    #[serde(default)]
    start_from_head: bool,
    next_token: Option<String>,
    limit: Option<usize>,
    log_stream_name_prefix: Option<String>,
}

pub(super) fn create_stream(context: &Context<'_>) -> Result<Answer, ApiError> {
    let (input, group) = read(context)?;
    let name = &input.log_stream_name;
    validate::log_stream_name(name)?;
    let mut logs = context.region.logs();
    let group = logs.groups.get_mut(&group);
    let streams = &mut group.ok_or_else(ApiError::log_group_not_found)?.streams;
    if streams.contains_key(name) {
        let text = "The specified log stream already exists";
        return Err(ApiError::new("ResourceAlreadyExistsException", text));
    }
    streams.insert(name.clone(), Stream::default());
    Ok(Answer::Empty)
}

/// Returns one page of events. The forward token is the position after its last event.
pub(super) fn get(context: &Context<'_>) -> Result<Answer, ApiError> {
    let (input, group) = read(context)?;
    let logs = context.region.logs();
    let group = logs.groups.get(&group);
    let group = group.ok_or_else(ApiError::log_group_not_found)?;
    let stream = group.streams.get(&input.log_stream_name);
    let events = &stream.ok_or_else(no_stream)?.events;
    let limit = input.limit.unwrap_or(10_000).clamp(1, 10_000);
    let at = input.next_token.as_deref().and_then(|t| t.strip_prefix("f/"));
    let start = match at.and_then(|at| at.parse::<usize>().ok()) {
        Some(at) => at,
        None if input.start_from_head => 0,
        None => events.len().saturating_sub(limit),
    };
    let rows: Vec<Value> = events
        .iter()
        .skip(start)
        .take(limit)
        .map(|event| {
            let at = event.timestamp;
            json!({ "timestamp": at, "message": event.message, "ingestionTime": at })
        })
        .collect();
    let end = start + rows.len();
    Ok(Answer::Json(json!({
        "events": rows,
        "nextForwardToken": format!("f/{end}"),
        "nextBackwardToken": format!("b/{start}"),
    })))
}

pub(super) fn streams(context: &Context<'_>) -> Result<Answer, ApiError> {
    let (input, group) = read(context)?;
    let logs = context.region.logs();
    let group = logs.groups.get(&group);
    let group = group.ok_or_else(ApiError::log_group_not_found)?;
    let prefix = input.log_stream_name_prefix.unwrap_or_default();
    let rows: Vec<Value> = group
        .streams
        .iter()
        .filter(|(name, _)| name.starts_with(&prefix))
        .map(|(name, _)| {
            let arn = format!("{}:log-stream:{name}", group.arn);
            json!({ "logStreamName": name, "arn": arn })
        })
        .collect();
    Ok(Answer::Json(json!({ "logStreams": rows })))
}

fn read(context: &Context<'_>) -> Result<(StreamInput, String), ApiError> {
    let input: StreamInput = context.call.input()?;
    let identifier = input
        .log_group_name
        .as_ref()
        .or(input.log_group_identifier.as_ref())
        .ok_or_else(|| ApiError::invalid_parameter("No log group is named"))?;
    let name = parse_group_name(context, identifier)?.to_owned();
    authorize_stream(context, &name, &input.log_stream_name)?;
    Ok((input, name))
}

pub(super) fn no_stream() -> ApiError {
    let text = "The specified log stream does not exist.";
    ApiError::new("ResourceNotFoundException", text)
}
