//! The files of an archive as objects in a bucket. They are written with the credentials of the service itself, not
//! those of a tenant.

use std::{collections::HashMap, fmt, time::Duration};

use async_trait::async_trait;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::{Client, config::StalledStreamProtectionConfig, error::SdkError, primitives::ByteStream};
use aws_sdk_sts::config::{http::HttpResponse, retry::RetryConfig};
use parking_lot::Mutex;

use super::location::S3Location;
use crate::{
    aws::{
        clients,
        config::Config,
        error::{self, ServiceError},
        http_pool,
    },
    domain::error_chain::error_chain,
    ports::{
        log_files::{FilesError, LogFiles},
        sink::Cause,
    },
};

/// The time for one attempt. The largest file has 256 events of 64 KiB.
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(1);
/// How often a call is sent until S3 accepts it. The SDK decides which failures are temporary.
const ATTEMPTS: u32 = 4;
/// The error code of a missing object
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>).
const NO_SUCH_KEY: &str = "NoSuchKey";
/// The folder of the files that never change. They have no conditions.
const FIXED_FILES: &str = "tile/";

/// The files of an archive in a bucket. An object that S3 has accepted is durable and complete.
pub struct S3Files {
    client: Client,
    location: S3Location,
    /// The entity tags of the files that can be replaced, as they were read, or written after that; `None` for a file
    /// that did not exist.
    tags: Mutex<HashMap<String, Option<String>>>,
}

// === impl S3Files ===

impl S3Files {
    /// Prepares the client, without a call to AWS. The endpoint is the one for all services of `config`, if it has one.
    /// The bucket is in the Region of `config`.
    pub async fn connect(config: &Config, location: S3Location) -> Self {
        let http = http_pool::http_client(config.authorities.clone());
        let service = clients::service_identity(config, http).load().await;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(config.timeouts.connect)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT);
        let mut s3 = aws_sdk_s3::config::Builder::from(&service)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts.build())
            // Another endpoint has no host name for each bucket.
            .force_path_style(config.endpoints.all.is_some());
        s3.set_endpoint_url(config.endpoints.all.as_deref().map(str::to_owned));
        Self { client: Client::from_conf(s3.build()), location, tags: Mutex::default() }
    }

    fn set_tag(&self, path: &str, tag: Option<String>) {
        if !path.starts_with(FIXED_FILES) {
            self.tags.lock().insert(path.to_owned(), tag);
        }
    }

    fn failed<E: ServiceError>(
        &self,
        path: &str,
        operation: &'static str,
        error: &SdkError<E, HttpResponse>,
    ) -> FilesError {
        self.failed_with(path, operation, describe(error))
    }

    fn failed_with(&self, path: &str, operation: &'static str, source: Cause) -> FilesError {
        let S3Location { bucket, .. } = &self.location;
        FilesError { file: format!("s3://{bucket}/{}", self.location.key(path)), operation, source }
    }
}

#[async_trait]
impl LogFiles for S3Files {
    async fn prepare(&self) -> Result<(), FilesError> {
        Ok(())
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, FilesError> {
        let request = self.client.get_object().bucket(&*self.location.bucket).key(self.location.key(path));
        let object = match request.send().await {
            Ok(object) => object,
            Err(error) if &*error::error_details(&error).code == NO_SUCH_KEY => {
                self.set_tag(path, None);
                return Ok(None);
            }
            Err(error) => return Err(self.failed(path, "read", &error)),
        };
        self.set_tag(path, object.e_tag);
        match object.body.collect().await {
            Ok(content) => Ok(Some(content.to_vec())),
            Err(error) => Err(self.failed_with(path, "read", error.into())),
        }
    }

    async fn write(&self, path: &str, content: Vec<u8>) -> Result<(), FilesError> {
        let mut request =
            self.client.put_object().bucket(&*self.location.bucket).key(self.location.key(path));
        // A process that has lost its turn must not replace what another one has written since
        // (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>).
        let known = self.tags.lock().remove(path);
        request = match &known {
            Some(Some(tag)) => request.if_match(tag),
            Some(None) => request.if_none_match("*"),
            None => request,
        };
        let sent = request.body(ByteStream::from(content)).send().await;
        let written = sent.map_err(|error| self.failed(path, "written", &error))?;
        if known.is_some() {
            self.set_tag(path, written.e_tag);
        }
        Ok(())
    }

    async fn replace(&self, path: &str, content: Vec<u8>) -> Result<(), FilesError> {
        self.write(path, content).await
    }
}

/// The text of a failure. The SDK's errors contain requests, so only their texts are kept.
fn describe<E: ServiceError>(error: &SdkError<E, HttpResponse>) -> Cause {
    if error.raw_response().is_none() {
        return error_chain(error).into();
    }
    let details = error::error_details(error);
    let message = if details.message.is_empty() { "no message" } else { &*details.message };
    format!("S3 responded with {}: {message}", details.code).into()
}

impl fmt::Debug for S3Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Files").field("location", &self.location).finish_non_exhaustive()
    }
}

impl fmt::Display for S3Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.location)
    }
}
