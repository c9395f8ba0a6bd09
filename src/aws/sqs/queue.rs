//! The client of the event queue. It uses the credentials of the service itself, not those of a tenant.

#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::{
    Client,
    config::StalledStreamProtectionConfig,
    error::SdkError,
    types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName},
};
use aws_sdk_sts::config::{http::HttpResponse, retry::RetryConfig};
use parking_lot::Mutex;
use thiserror::Error;

use super::{batch::read_messages, queue_url::QueueUrl};
use crate::{
    aws::{
        clients,
        config::Config,
        error::{self, ServiceError},
        http_pool,
    },
    domain::{error_chain::error_chain, recent_ids::RecentIds},
    ports::{
        UpstreamError,
        aws::AwsErrorDetails,
        group_events::{GroupEvents, GroupEventsError, GroupMessage, Receipt},
    },
};

/// How long a call waits for a message, the longest that SQS allows:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>.
const WAIT: Duration = Duration::from_secs(20);
/// The most messages of one response and of one batch (same source, and `DeleteMessageBatch`).
const MAX_BATCH: i32 = 10;
/// The delay after the first failure. Each further failure doubles it.
const MIN_BACKOFF: Duration = Duration::from_millis(500);
/// The longest delay between two calls that fail.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// The number of deleted events that are remembered. `EventBridge` repeats an event within minutes, if at all.
const MAX_DELETED: usize = 10_000;
/// How often a batch is sent until its messages are deleted.
const DELETE_ATTEMPTS: u32 = 3;

/// The event queue.
pub struct EventQueue {
    client: Client,
    url: QueueUrl,
    /// The ids of the events that were deleted last, because `EventBridge` and SQS deliver some of them more than once.
    deleted: Mutex<RecentIds>,
    /// The number of failures since the last success of `receive`.
    failures: Mutex<u32>,
}

/// An error response of SQS.
#[derive(Debug, Error)]
#[error("SQS responded to {operation} with {}: {}", .answer.code, .answer.message)]
struct ServiceMessage {
    operation: &'static str,
    answer: AwsErrorDetails,
}

// === impl EventQueue ===

impl EventQueue {
    /// Prepares the client, without a call to AWS. The endpoint is the one for all services of `config`, if it
    /// has one, and the host of the queue's URL otherwise. The Region is that of the host, or of `config`.
    pub async fn connect(config: &Config, url: QueueUrl) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(config.timeouts.connect)
            .operation_attempt_timeout(WAIT.saturating_add(config.timeouts.attempt));
        let service = clients::service_identity(config, http_pool::http_client(config.authorities.clone()))
            .load()
            .await;
        let region = url.region().unwrap_or(&config.region);
        let sqs = aws_sdk_sqs::config::Builder::from(&service)
            .region(aws_config::Region::new(region.as_str().to_owned()))
            .endpoint_url(config.endpoints.all.as_deref().unwrap_or_else(|| url.origin()))
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts.build());
        let client = Client::from_conf(sqs.build());
        Self { client, url, deleted: Mutex::new(RecentIds::new(MAX_DELETED)), failures: Mutex::default() }
    }

    /// Deletes one batch and returns the positions of the messages that remain.
    async fn delete_batch(&self, handles: &[&str]) -> Result<Vec<usize>, GroupEventsError> {
        let mut request = self.client.delete_message_batch().queue_url(self.url.as_str());
        for (position, handle) in handles.iter().enumerate() {
            let entry = DeleteMessageBatchRequestEntry::builder().id(position.to_string());
            let entry = entry.receipt_handle(*handle).build();
            request = request.entries(entry.map_err(|error| GroupEventsError::Unavailable(error.into()))?);
        }
        let answer = request.send().await.map_err(|error| failure("DeleteMessageBatch", error))?;
        let remaining = answer.failed().iter().filter_map(|entry| entry.id().parse().ok());
        Ok(remaining.collect())
    }

    /// Sends a batch until its messages are deleted, and returns the handles of those that remain.
    async fn delete_with_retries<'h>(&self, batch: &[&'h str]) -> Result<Vec<&'h str>, GroupEventsError> {
        let mut handles = batch.to_vec();
        let mut attempt = 1;
        loop {
            let result = self.delete_batch(&handles).await;
            match &result {
                Ok(remaining) => {
                    handles = remaining.iter().filter_map(|&at| handles.get(at).copied()).collect();
                    if handles.is_empty() || attempt == DELETE_ATTEMPTS {
                        return Ok(handles);
                    }
                }
                Err(GroupEventsError::Throttled(_) | GroupEventsError::Unavailable(_))
                    if attempt < DELETE_ATTEMPTS => {}
                Err(_) => return result.map(|_| Vec::new()),
            }
            tokio::time::sleep(backoff(attempt)).await;
            attempt += 1;
        }
    }
}

#[async_trait]
impl GroupEvents for EventQueue {
    async fn receive(&self) -> Result<Vec<GroupMessage>, GroupEventsError> {
        let failures = *self.failures.lock();
        if failures > 0 {
            tokio::time::sleep(backoff(failures)).await;
        }
        let received = self
            .client
            .receive_message()
            .queue_url(self.url.as_str())
            .max_number_of_messages(MAX_BATCH)
            .wait_time_seconds(i32::try_from(WAIT.as_secs()).unwrap_or_default())
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await;
        match received {
            Ok(answer) => {
                *self.failures.lock() = 0;
                Ok(read_messages(answer.messages(), &self.deleted.lock()))
            }
            Err(error) => {
                *self.failures.lock() = failures.saturating_add(1);
                Err(failure("ReceiveMessage", error))
            }
        }
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<(), GroupEventsError> {
        // The caller has recorded the changes, so another message of the same event says nothing new.
        {
            let mut deleted = self.deleted.lock();
            receipts.iter().filter_map(|receipt| receipt.event_id.as_ref()).for_each(|id| deleted.insert(id));
        }
        let handles: Vec<&str> =
            receipts.iter().flat_map(|receipt| &receipt.handles).map(|handle| &**handle).collect();
        let mut result = Ok(());
        let mut count = 0;
        for batch in handles.chunks(usize::try_from(MAX_BATCH).unwrap_or(1)) {
            match self.delete_with_retries(batch).await {
                Ok(remaining) => count += remaining.len(),
                Err(error) => result = Err(error),
            }
        }
        if count > 0 { result.and(Err(GroupEventsError::NotDeleted { count })) } else { result }
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The delay after this number of failures, at random between half of it and all of it.
fn backoff(failures: u32) -> Duration {
    let doubled = MIN_BACKOFF.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(MAX_BACKOFF).mul_f64(rand::random_range(0.5..=1.0))
}

/// Converts the failure of a call.
fn failure<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> GroupEventsError
where
    E: ServiceError,
{
    match error::upstream(error) {
        UpstreamError::Throttled { answer } | UpstreamError::StsThrottled { answer } => {
            GroupEventsError::Throttled(ServiceMessage { operation, answer }.into())
        }
        UpstreamError::Refused { answer, .. }
        | UpstreamError::RoleNotAssumable { answer, .. }
        | UpstreamError::ServiceMisconfigured { answer, .. } => {
            GroupEventsError::Refused(ServiceMessage { operation, answer }.into())
        }
        UpstreamError::Conflict { answer } | UpstreamError::Fault { answer } => {
            GroupEventsError::Unavailable(ServiceMessage { operation, answer }.into())
        }
        // The SDK's errors contain requests, so only their texts are kept.
        UpstreamError::NotSent(source) | UpstreamError::Unanswered(source) => {
            GroupEventsError::Unavailable(error_chain(&*source).into())
        }
    }
}
