//! Sends, deletes and hides messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use md5::{Digest as _, Md5};
use serde::Deserialize;
use serde_json::{Value, json};

use super::queue::authorized;
use crate::{
    api_error::ApiError,
    authorizer::Context,
    state::queues::{Message, Queue, after},
    wire::answer::Answer,
};

/// The maximum size of a message, in bytes:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>.
const MAX_BODY: usize = 1 << 20;
/// The maximum number of entries in a batch.
const MAX_BATCH: usize = 10;
/// The longest visibility timeout, in seconds.
const MAX_VISIBILITY: i64 = 43_200;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Send {
    queue_url: String,
    message_body: String,
    #[serde(default)]
    delay_seconds: i64,
    #[serde(default)]
    message_attributes: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ByHandle {
    queue_url: String,
    receipt_handle: String,
    #[serde(default)]
    visibility_timeout: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    queue_url: String,
    entries: Vec<BatchEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchEntry {
    id: String,
    receipt_handle: String,
}

pub(super) fn send(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: Send = context.call.input()?;
    let queue = authorized(context, &input.queue_url)?;
    let invalid = |text: &str| ApiError::new("InvalidParameterValue", text);
    if input.message_body.is_empty() {
        return Err(ApiError::new("MissingParameter", "The request must contain the parameter MessageBody."));
    }
    if input.message_body.len() > MAX_BODY {
        return Err(invalid(
            "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
        ));
    }
    if !(0..=900).contains(&input.delay_seconds) {
        return Err(invalid(
            "Value for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
        ));
    }
    if !input.message_attributes.is_empty() {
        return Err(ApiError::new("UnsupportedOperation", "the sandbox does not support message attributes"));
    }
    let message = Message::new(input.message_body, context.now, input.delay_seconds);
    let answer = json!({ "MessageId": message.id, "MD5OfMessageBody": md5(&message.body) });
    queue.push(message);
    Ok(Answer::Json(answer))
}

pub(super) fn delete(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: ByHandle = context.call.input()?;
    let queue = authorized(context, &input.queue_url)?;
    delete_one(&queue, &input.receipt_handle)?;
    Ok(Answer::Empty)
}

pub(super) fn delete_batch(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: Batch = context.call.input()?;
    let queue = authorized(context, &input.queue_url)?;
    let refuse = |code: &'static str, text: &str| Err(ApiError::new(code, text));
    if input.entries.is_empty() {
        return refuse(
            "EmptyBatchRequest",
            "There should be at least one DeleteMessageBatchRequestEntry in the request.",
        );
    }
    if input.entries.len() > MAX_BATCH {
        return refuse("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10.");
    }
    let ids: BTreeSet<&str> = input.entries.iter().map(|entry| entry.id.as_str()).collect();
    if ids.len() < input.entries.len() {
        return refuse(
            "BatchEntryIdsNotDistinct",
            "Two or more batch entries in the request have the same ID.",
        );
    }
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for BatchEntry { id, receipt_handle } in &input.entries {
        match delete_one(&queue, receipt_handle) {
            Ok(()) => deleted.push(json!({ "Id": id })),
            Err(ApiError { code, message, .. }) => {
                failed.push(json!({ "Id": id, "Code": code, "Message": message, "SenderFault": true }));
            }
        }
    }
    Ok(Answer::Json(json!({ "Successful": deleted, "Failed": failed })))
}

pub(super) fn change_visibility(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: ByHandle = context.call.input()?;
    let queue = authorized(context, &input.queue_url)?;
    if !(0..=MAX_VISIBILITY).contains(&input.visibility_timeout) {
        let text = "Value for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be between 0 and 43200.";
        return Err(ApiError::new("InvalidParameterValue", text));
    }
    let mut messages = queue.messages();
    let is_same = |message: &&mut Message| message.handle.as_deref() == Some(&*input.receipt_handle);
    let message = messages.iter_mut().find(is_same).ok_or_else(unknown_handle)?;
    if message.visible <= context.now {
        let text = "The specified message is not in flight.";
        return Err(ApiError::new("MessageNotInflight", text));
    }
    message.visible = after(context.now, input.visibility_timeout);
    drop(messages);
    queue.arrivals.notify_waiters();
    Ok(Answer::Empty)
}

/// Deletes a message by the handle of its last receive. Deleting it again succeeds, as in SQS.
fn delete_one(queue: &Queue, handle: &str) -> Result<(), ApiError> {
    // Each handle of the sandbox starts with the ARN of its queue.
    if !handle.starts_with(&format!("{}#", queue.arn)) {
        return Err(unknown_handle());
    }
    queue.messages().retain(|message| message.handle.as_deref() != Some(handle));
    Ok(())
}

fn unknown_handle() -> ApiError {
    ApiError::new("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
}

/// The MD5 digest in hexadecimal, which some SDKs compare with the body.
pub(super) fn md5(body: &str) -> String {
    let mut text = String::new();
    for byte in Md5::digest(body.as_bytes()) {
        // Writing to a string cannot fail.
        let _written = write!(text, "{byte:02x}");
    }
    text
}
