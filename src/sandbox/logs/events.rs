//! Log streams and their events: enough for a sink to write to and a test to read back.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{may_on_group, name_of};
use crate::sandbox::{
    access::Context,
    refusal::Refusal,
    wire::Answer,
    world::groups::{Event, Stream},
};

/// AWS's limits on one batch: events, and bytes with 26 for each event.
const MAX_BATCH_EVENTS: usize = 10_000;
const MAX_BATCH_BYTES: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
const HOUR_MS: i64 = 3_600_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OnStream {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    #[serde(default)]
    log_stream_name: String,
    #[serde(default)]
    log_events: Vec<InputEvent>,
    #[serde(default)]
    start_from_head: bool,
    next_token: Option<String>,
    limit: Option<usize>,
    log_stream_name_prefix: Option<String>,
}

#[derive(Debug, Deserialize)]
struct InputEvent {
    timestamp: i64,
    message: String,
}

pub(super) fn create_stream(context: &Context<'_>) -> Result<Answer, Refusal> {
    let (input, group) = read(context)?;
    let name = &input.log_stream_name;
    if name.is_empty() || name.len() > 512 || name.contains([':', '*']) {
        return Err(Refusal::invalid_parameter("Invalid logStreamName"));
    }
    let mut logs = context.region.logs();
    let group = logs.groups.get_mut(&group);
    let streams = &mut group.ok_or_else(Refusal::log_group_not_found)?.streams;
    if streams.contains_key(name) {
        let text = "The specified log stream already exists";
        return Err(Refusal::new("ResourceAlreadyExistsException", text));
    }
    streams.insert(name.clone(), Stream::default());
    Ok(Answer::Empty)
}

pub(super) fn put(context: &Context<'_>) -> Result<Answer, Refusal> {
    let (input, group) = read(context)?;
    let bytes: usize = input.log_events.iter().map(|event| event.message.len() + EVENT_OVERHEAD).sum();
    if input.log_events.is_empty() || input.log_events.len() > MAX_BATCH_EVENTS {
        return Err(Refusal::invalid_parameter("Invalid number of log events"));
    }
    if bytes > MAX_BATCH_BYTES {
        return Err(Refusal::invalid_parameter("Upload too large"));
    }
    if !input.log_events.is_sorted_by_key(|event| event.timestamp) {
        let text = "Log events in a single PutLogEvents request must be in chronological order.";
        return Err(Refusal::invalid_parameter(text));
    }
    let now = context.now.as_millisecond();
    let (oldest, newest) = (now - 14 * 24 * HOUR_MS, now + 2 * HOUR_MS);
    let total = input.log_events.len();
    let old = input.log_events.partition_point(|event| event.timestamp < oldest);
    let good = input.log_events.partition_point(|event| event.timestamp <= newest);
    let mut logs = context.region.logs();
    let group = logs.groups.get_mut(&group);
    let group = group.ok_or_else(Refusal::log_group_not_found)?;
    let stream = group.streams.get_mut(&input.log_stream_name);
    let stream = stream.ok_or_else(no_stream)?;
    let taken = input.log_events.into_iter().take(good).skip(old);
    for InputEvent { timestamp, message } in taken {
        stream.push(Event { timestamp, message });
    }
    let mut answer = json!({ "nextSequenceToken": "sandbox" });
    let mut rejected = serde_json::Map::new();
    if old > 0 {
        rejected.insert("tooOldLogEventEndIndex".to_owned(), old.into());
    }
    if good < total {
        rejected.insert("tooNewLogEventStartIndex".to_owned(), good.into());
    }
    if let (false, Some(fields)) = (rejected.is_empty(), answer.as_object_mut()) {
        fields.insert("rejectedLogEventsInfo".to_owned(), rejected.into());
    }
    Ok(Answer::Json(answer))
}

/// One page, of which the token is the position behind it.
pub(super) fn get(context: &Context<'_>) -> Result<Answer, Refusal> {
    let (input, group) = read(context)?;
    let logs = context.region.logs();
    let group = logs.groups.get(&group);
    let group = group.ok_or_else(Refusal::log_group_not_found)?;
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

pub(super) fn streams(context: &Context<'_>) -> Result<Answer, Refusal> {
    let (input, group) = read(context)?;
    let logs = context.region.logs();
    let group = logs.groups.get(&group);
    let group = group.ok_or_else(Refusal::log_group_not_found)?;
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

fn read(context: &Context<'_>) -> Result<(OnStream, String), Refusal> {
    let input: OnStream = context.call.input()?;
    let identifier = input
        .log_group_name
        .as_ref()
        .or(input.log_group_identifier.as_ref())
        .ok_or_else(|| Refusal::invalid_parameter("No log group is named"))?;
    let name = name_of(context, identifier)?.to_owned();
    may_on_group(context, &name)?;
    Ok((input, name))
}

fn no_stream() -> Refusal {
    let text = "The specified log stream does not exist.";
    Refusal::new("ResourceNotFoundException", text)
}
