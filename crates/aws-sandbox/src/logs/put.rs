//! `PutLogEvents`, with AWS's limits on a batch and on the times in it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{events::no_stream, resource::authorize_stream};
use crate::{api_error::ApiError, authorizer::Context, state::groups::Event, validate, wire::answer::Answer};

/// AWS's limits for one batch (`PutLogEvents` in the API reference): the number of events, and the number of
/// bytes, with 26 added for each event. One event can be as large as the batch.
const MAX_EVENTS: usize = 10_000;
const MAX_BYTES: usize = 1_048_576;
const OVERHEAD: usize = 26;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The maximum age of an event, unless the log group's retention is shorter.
const OLDEST_MS: i64 = 14 * DAY_MS;
/// How far an event may be in the future.
const NEWEST_MS: i64 = 2 * HOUR_MS;

#[derive(Debug, Deserialize)]
struct Input {
    #[serde(rename = "logGroupName")]
    group: String,
    #[serde(rename = "logStreamName")]
    stream: String,
    #[serde(rename = "logEvents")]
    events: Vec<InputEvent>,
}

#[derive(Debug, Deserialize)]
struct InputEvent {
    timestamp: i64,
    message: String,
}

/// The events that AWS drops: those before `too_old` or `expired`, and those from `too_new` on. All three are
/// indexes.
struct Rejected {
    too_old: usize,
    expired: usize,
    too_new: usize,
}

pub(super) fn put(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: Input = context.call.input()?;
    validate::log_group_name(&input.group)?;
    validate::log_stream_name(&input.stream)?;
    authorize_stream(context, &input.group, &input.stream)?;
    check(&input.events)?;

    let mut logs = context.region.logs();
    let group = logs.groups.get_mut(&input.group);
    let group = group.ok_or_else(ApiError::log_group_not_found)?;
    let now = context.now.as_millisecond();
    let rejected = Rejected::of(&input.events, now, group.retention_days);
    let stream = group.streams.get_mut(&input.stream).ok_or_else(no_stream)?;
    let total = input.events.len();
    let accepted = input.events.get(rejected.first()..rejected.too_new).unwrap_or_default();
    // According to the API reference, this limit applies to valid events. AWS's own wording is not known.
    if let [first, .., last] = accepted
        && last.timestamp - first.timestamp > DAY_MS
    {
        let text = "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.";
        return Err(ApiError::invalid_parameter(text));
    }
    for InputEvent { timestamp, message } in accepted {
        stream.push(Event { timestamp: *timestamp, message: message.clone() });
    }
    Ok(Answer::Json(rejected.answer(total)))
}

fn check(events: &[InputEvent]) -> Result<(), ApiError> {
    if !(1..=MAX_EVENTS).contains(&events.len()) {
        let text = format!(
            "1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have \
             length between 1 and {MAX_EVENTS}"
        );
        return Err(ApiError::invalid_parameter(text));
    }
    if events.iter().any(|event| event.message.is_empty() || event.timestamp < 0) {
        let text = "1 validation error detected: Value at 'logEvents' failed to satisfy constraint: messages have a \
                    length of at least 1, and timestamps a value of at least 0";
        return Err(ApiError::invalid_parameter(text));
    }
    let bytes: usize = events.iter().map(|event| event.message.len() + OVERHEAD).sum();
    if bytes > MAX_BYTES {
        let text = format!("Upload too large: {bytes} bytes exceeds limit of {MAX_BYTES}");
        return Err(ApiError::invalid_parameter(text));
    }
    if !events.is_sorted_by_key(|event| event.timestamp) {
        let text = "Log events in a single PutLogEvents request must be in chronological order.";
        return Err(ApiError::invalid_parameter(text));
    }
    Ok(())
}

// === impl Rejected ===

impl Rejected {
    /// Classifies events that are sorted by time.
    fn of(events: &[InputEvent], now: i64, retention_days: Option<i64>) -> Self {
        let before = |oldest: i64| events.partition_point(|event| event.timestamp < oldest);
        Self {
            too_old: before(now - OLDEST_MS),
            expired: retention_days.map_or(0, |days| before(now - days * DAY_MS)),
            too_new: before(now + NEWEST_MS + 1),
        }
    }

    /// The index of the first accepted event.
    fn first(&self) -> usize {
        self.too_old.max(self.expired).min(self.too_new)
    }

    fn answer(&self, total: usize) -> Value {
        let mut info = Map::new();
        if self.too_old > 0 {
            info.insert("tooOldLogEventEndIndex".to_owned(), self.too_old.into());
        }
        if self.expired > self.too_old {
            info.insert("expiredLogEventEndIndex".to_owned(), self.expired.into());
        }
        if self.too_new < total {
            info.insert("tooNewLogEventStartIndex".to_owned(), self.too_new.into());
        }
        let mut answer = json!({ "nextSequenceToken": "sandbox" });
        if let (false, Some(fields)) = (info.is_empty(), answer.as_object_mut()) {
            fields.insert("rejectedLogEventsInfo".to_owned(), info.into());
        }
        answer
    }
}
