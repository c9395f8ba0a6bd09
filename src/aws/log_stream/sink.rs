//! The `CloudWatch` Logs sink: writes the audit log to the operator's log stream with `PutLogEvents`.
//!
//! It uses a role that can do nothing else, and shares no sessions or clients with the tenants' calls.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, sts::AssumeRoleProvider};
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_cloudwatchlogs::{Client, config::http::HttpResponse, types::InputLogEvent};
use aws_sdk_sts::{
    config::{SharedHttpClient, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
};
use thiserror::Error;

use super::{batch::MonotonicTimes, config::StreamConfig};
use crate::{
    aws::{
        clients,
        config::Config,
        error::{self, ServiceError},
        http_pool,
    },
    domain::error_chain::error_chain,
    ports::{Clock, Sink, SinkError, SinkRecord, UpstreamError, aws::AwsErrorDetails},
};

/// The name of the session in the operator's `CloudTrail`.
const SESSION_NAME: &str = "logkey-audit";
/// The error code of a missing log group or log stream.
const NOT_FOUND: &str = "ResourceNotFoundException";
/// The error code of a log stream that already exists.
const EXISTS: &str = "ResourceAlreadyExistsException";

/// Writes to one log stream.
pub struct LogStream {
    client: Client,
    config: StreamConfig,
    clock: Arc<dyn Clock>,
    times: MonotonicTimes,
}

/// Provides the role's credentials, and hides the provider's `Debug` output: the SDK prints providers at the
/// log level `trace`, and this one would print the external id.
struct Role(AssumeRoleProvider);

/// An error response of AWS.
#[derive(Debug, Error)]
#[error("AWS responded to {operation} with {}: {}", .answer.code, .answer.message)]
struct ServiceMessage {
    operation: &'static str,
    answer: AwsErrorDetails,
}

/// AWS accepted the batch, but rejected some of its events.
#[derive(Debug, Error)]
#[error("AWS rejected events because of their timestamps: check the clock of this machine")]
struct RejectedEvents;

// === impl LogStream ===

impl LogStream {
    /// Prepares the client, without a call to AWS. The service's own credentials assume the role.
    pub async fn connect(config: &Config, to: StreamConfig, clock: Arc<dyn Clock>) -> Self {
        let http = http_pool::http_client(config.authorities.clone());
        let role = AssumeRoleProvider::builder(to.role.as_str())
            .session_name(SESSION_NAME)
            .policy(to.session_policy())
            .configure(&sdk(config, http.clone()).await);
        let role = match &to.external_id {
            Some(external_id) => role.external_id(external_id.expose()),
            None => role,
        };
        let mut logs = aws_sdk_cloudwatchlogs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(aws_config::Region::new(to.region.as_str().to_owned()))
            .http_client(http)
            .credentials_provider(Role(role.build().await))
            .retry_config(RetryConfig::disabled())
            .timeout_config(clients::timeouts(&config.timeouts));
        logs.set_endpoint_url(config.endpoints.logs().map(str::to_owned));
        let client = Client::from_conf(logs.build());
        Self { client, config: to, clock, times: MonotonicTimes::default() }
    }

    async fn put_events(&self, events: Vec<InputLogEvent>) -> Result<(), SinkError> {
        let sent = self
            .client
            .put_log_events()
            .log_group_name(self.config.log_group.as_str())
            .log_stream_name(&*self.config.log_stream)
            .set_log_events(Some(events))
            .send()
            .await;
        match sent {
            Ok(answer) if answer.rejected_log_events_info().is_none() => Ok(()),
            Ok(_rejected) => Err(SinkError::Failed(RejectedEvents.into())),
            Err(error) => Err(failure("PutLogEvents", error)),
        }
    }

    async fn create(&self) -> Result<(), SinkError> {
        let created = self
            .client
            .create_log_stream()
            .log_group_name(self.config.log_group.as_str())
            .log_stream_name(&*self.config.log_stream)
            .send()
            .await;
        match created {
            Ok(_created) => {
                tracing::info!(
                    log_group = %self.config.log_group,
                    log_stream = &*self.config.log_stream,
                    "created the log stream of an audit sink"
                );
                Ok(())
            }
            Err(error) if error.code() == Some(EXISTS) => Ok(()),
            Err(error) => Err(failure("CreateLogStream", error)),
        }
    }
}

#[async_trait]
impl Sink for LogStream {
    async fn write(&self, lines: &[SinkRecord]) -> Result<usize, SinkError> {
        let events = self.times.batch(lines, self.clock.now());
        let count = events.len();
        match self.put_events(events.clone()).await {
            Err(SinkError::Missing(_)) => {
                self.create().await?;
                self.put_events(events).await?;
            }
            done => done?,
        }
        Ok(count)
    }
}

impl ProvideCredentials for Role {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.0.provide_credentials()
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Role")
    }
}

/// The SDK configuration for STS, as for the tenants' roles.
async fn sdk(config: &Config, http: SharedHttpClient) -> aws_config::SdkConfig {
    let sdk = clients::service_identity(config, http);
    match config.endpoints.sts() {
        Some(url) => sdk.endpoint_url(url).load().await,
        None => sdk.load().await,
    }
}

/// Converts the failure of a call to the error of a sink.
fn failure<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> SinkError
where
    E: ServiceError,
{
    let missing = error.code() == Some(NOT_FOUND);
    match error::upstream(error) {
        UpstreamError::Throttled { answer } | UpstreamError::StsThrottled { answer } => {
            SinkError::Throttled(ServiceMessage { operation, answer }.into())
        }
        UpstreamError::Refused { answer, .. } if missing => {
            SinkError::Missing(ServiceMessage { operation, answer }.into())
        }
        UpstreamError::Refused { answer, .. }
        | UpstreamError::RoleNotAssumable { answer, .. }
        | UpstreamError::ServiceMisconfigured { answer, .. } => {
            SinkError::Refused(ServiceMessage { operation, answer }.into())
        }
        UpstreamError::Conflict { answer } | UpstreamError::Fault { answer } => {
            SinkError::Failed(ServiceMessage { operation, answer }.into())
        }
        // The SDK's errors contain requests, so only their texts are kept.
        UpstreamError::NotSent(source) | UpstreamError::Unanswered(source) => {
            SinkError::Failed(error_chain(&*source).into())
        }
    }
}

impl fmt::Debug for LogStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStream").field("config", &self.config).finish_non_exhaustive()
    }
}
