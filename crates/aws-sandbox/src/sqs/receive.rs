//! Receives messages: waits for the first one, hides those that it returns, and moves those that were received
//! too often to the dead-letter queue.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{self, Instant};

use super::{
    message::md5,
    queue::{authorized, find},
};
use crate::{
    api_error::ApiError,
    authorizer::Context,
    state::queues::{Message, Queue, after},
    wire::answer::Answer,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    queue_url: String,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    #[serde(default, alias = "AttributeNames")]
    message_system_attribute_names: Vec<String>,
}

/// What one call takes from the queue.
struct Limits {
    count: usize,
    visibility_seconds: i64,
    wait: Duration,
}

pub(super) async fn receive(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: Input = context.call.input()?;
    let queue = authorized(context, &input.queue_url)?;
    let limits = input.limits(&queue)?;
    let deadline = Instant::now() + limits.wait;
    loop {
        let arrival = queue.arrivals.notified();
        let now = context.state.now();
        let received = take(context, &queue, &limits, now);
        if !received.is_empty() {
            let names = &input.message_system_attribute_names;
            let messages: Vec<Value> = received.iter().map(|message| to_json(message, names)).collect();
            return Ok(Answer::Json(json!({ "Messages": messages })));
        }
        let hidden = queue.messages().iter().map(|message| message.visible).min();
        let until_visible = hidden.and_then(|visible| Duration::try_from(visible.duration_since(now)).ok());
        let wake = until_visible.map_or(deadline, |wait| deadline.min(Instant::now() + wait));
        if Instant::now() >= deadline {
            return Ok(Answer::Json(json!({})));
        }
        tokio::select! {
            () = arrival => {}
            () = time::sleep_until(wake) => {}
        }
    }
}

/// Takes the visible messages in their order.
fn take(context: &Context<'_>, queue: &Queue, limits: &Limits, now: Timestamp) -> Vec<Message> {
    let settings = queue.settings();
    let expired = |message: &Message| after(message.sent, settings.retention_seconds) <= now;
    let mut messages = queue.messages();
    messages.retain(|message| !expired(message));
    let mut dead = Vec::new();
    let dead_letters = settings.redrive.and_then(|redrive| {
        let target = find(context.state, &redrive.dead_letter_arn)?;
        let is_dead = |message: &Message| message.visible <= now && message.receives >= redrive.max_receives;
        dead.extend(messages.iter().filter(|message| is_dead(message)).cloned());
        messages.retain(|message| !is_dead(message));
        Some(target)
    });
    let visible = messages.iter_mut().filter(|message| message.visible <= now).take(limits.count);
    let received = visible
        .map(|message| {
            message.receives += 1;
            message.first_received.get_or_insert(now);
            message.visible = after(now, limits.visibility_seconds);
            message.handle = Some(format!("{}#{}", queue.arn, uuid::Uuid::new_v4()));
            message.clone()
        })
        .collect();
    // Only one queue is locked at a time, since queues can be the dead-letter queues of each other.
    drop(messages);
    if let Some(target) = dead_letters {
        for message in dead {
            target.push(Message { handle: None, ..message });
        }
    }
    received
}

fn to_json(message: &Message, names: &[String]) -> Value {
    let mut fields = json!({
        "MessageId": message.id,
        "ReceiptHandle": message.handle,
        "MD5OfBody": md5(&message.body),
        "Body": message.body,
    });
    let first = message.first_received.unwrap_or(message.sent);
    let attributes: Map<String, Value> = [
        ("ApproximateReceiveCount", message.receives.to_string()),
        ("SentTimestamp", message.sent.as_millisecond().to_string()),
        ("ApproximateFirstReceiveTimestamp", first.as_millisecond().to_string()),
    ]
    .into_iter()
    .filter(|(attribute, _)| names.iter().any(|name| name == "All" || name == attribute))
    .map(|(attribute, value)| (attribute.to_owned(), value.into()))
    .collect();
    if let (false, Some(fields)) = (attributes.is_empty(), fields.as_object_mut()) {
        fields.insert("Attributes".to_owned(), attributes.into());
    }
    fields
}

// === impl Input ===

impl Input {
    fn limits(&self, queue: &Queue) -> Result<Limits, ApiError> {
        let settings = queue.settings();
        let within = |name: &str, value: i64, min: i64, max: i64| {
            let text = format!(
                "Value {value} for parameter {name} is invalid. Reason: Must be between {min} and {max}, if provided."
            );
            if (min..=max).contains(&value) {
                Ok(value)
            } else {
                Err(ApiError::new("InvalidParameterValue", text))
            }
        };
        let count = within("MaxNumberOfMessages", self.max_number_of_messages.unwrap_or(1), 1, 10)?;
        let wait = self.wait_time_seconds.unwrap_or(settings.wait_seconds);
        let wait = within("WaitTimeSeconds", wait, 0, 20)?;
        let visibility = self.visibility_timeout.unwrap_or(settings.visibility_seconds);
        Ok(Limits {
            count: usize::try_from(count).unwrap_or(1),
            visibility_seconds: within("VisibilityTimeout", visibility, 0, 43_200)?,
            wait: Duration::from_secs(u64::try_from(wait).unwrap_or_default()),
        })
    }
}
