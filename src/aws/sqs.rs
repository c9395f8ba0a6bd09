//! The SQS queue through which `EventBridge` reports new and changed log groups: its settings, its client, and
//! the reader of its messages.

mod batch;
mod body;
pub(super) mod event;
pub(super) mod queue;
pub(super) mod queue_url;
