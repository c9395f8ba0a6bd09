//! The Key Management Service: reads keys, their policies and their tags.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_sdk_kms::{
    config::{Builder, SharedCredentialsProvider, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        RequestId, describe_key::DescribeKeyOutput, get_key_policy::GetKeyPolicyOutput,
        list_resource_tags::ListResourceTagsOutput,
    },
    types::{self, KeyManagerType, KeySpec, KeyUsageType},
};

use super::{Aws, error::unreadable, session_policy::SessionScope, sessions::SessionKey};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        audit::AwsCallRecord,
        authorization::Access,
        key::{KeyMetadata, KeyState, KeyTags},
        time::Timestamp,
    },
    ports::aws::{AwsResponse, Keys, Refusal, UpstreamError},
};

/// The maximum number of retries of a read that failed with a transient error.
const MAX_RETRIES: u32 = 2;
/// The longest delay before the first retry; the delay before the second is twice as long.
const BACKOFF: Duration = Duration::from_millis(100);
/// The maximum tags of a key (KMS quotas, "Tags per KMS key"), and of one response.
const MAX_TAGS: i32 = 50;

#[async_trait]
impl Keys for Aws {
    async fn describe(
        &self,
        access: &Access,
        key: &KmsKeyId,
        deadline: Instant,
    ) -> AwsResponse<Option<KeyMetadata>> {
        let client = &self.clients.of(&access.location().region).kms;
        let call = client.describe_key().key_id(key.to_string());
        let response = self.read(access, deadline, |credentials| {
            call.clone().customize().config_override(Builder::new().credentials_provider(credentials)).send()
        });
        let AwsResponse { via, result } = response.await;
        let read = |answer: DescribeKeyOutput| {
            answer.key_metadata().and_then(metadata).ok_or_else(|| unreadable("DescribeKey"))
        };
        AwsResponse { via, result: not_found(result.and_then(read)) }
    }

    async fn policy(
        &self,
        access: &Access,
        key: &KmsKeyArn,
        deadline: Instant,
    ) -> AwsResponse<Option<Box<str>>> {
        let client = &self.clients.of(&access.location().region).kms;
        let call = client.get_key_policy().key_id(key.as_str()).policy_name("default");
        let response = self.read(access, deadline, |credentials| {
            call.clone().customize().config_override(Builder::new().credentials_provider(credentials)).send()
        });
        let AwsResponse { via, result } = response.await;
        let read = |answer: GetKeyPolicyOutput| {
            answer.policy().map(Into::into).ok_or_else(|| unreadable("GetKeyPolicy"))
        };
        AwsResponse { via, result: not_found(result.and_then(read)) }
    }

    async fn tags(
        &self,
        access: &Access,
        key: &KmsKeyArn,
        deadline: Instant,
    ) -> AwsResponse<Option<KeyTags>> {
        let session_key = SessionKey::of(access, SessionScope::LogGroups, self.sessions.attribution());
        if let Some(tags) = self.tags.find(&session_key, key) {
            return AwsResponse { via: AwsCallRecord::default(), result: Ok(Some(tags)) };
        }
        let client = &self.clients.of(&access.location().region).kms;
        let call = client.list_resource_tags().key_id(key.as_str()).limit(MAX_TAGS);
        let response = self.read(access, deadline, |credentials| {
            call.clone().customize().config_override(Builder::new().credentials_provider(credentials)).send()
        });
        let AwsResponse { via, result } = response.await;
        let tags = not_found(result.and_then(|answer| tags(&answer)));
        if let Ok(Some(tags)) = &tags {
            self.tags.insert(session_key, key.clone(), tags.clone());
        }
        AwsResponse { via, result: tags }
    }
}

impl Aws {
    /// Makes a call that changes nothing, and retries it after a transient failure.
    pub(super) async fn read<T, E, F>(
        &self,
        access: &Access,
        deadline: Instant,
        send: impl Fn(SharedCredentialsProvider) -> F + Send + Sync,
    ) -> AwsResponse<T>
    where
        T: RequestId + Send,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    {
        let mut request_ids = Vec::new();
        let mut retries = 0;
        loop {
            let AwsResponse { mut via, result } =
                self.execute(access, SessionScope::LogGroups, deadline, &send).await;
            request_ids.append(&mut via.aws_request_ids);
            let wait = BACKOFF.saturating_mul(1 << retries).mul_f64(rand::random());
            let should_retry = retries < MAX_RETRIES && result.as_ref().is_err_and(is_transient);
            if !should_retry || Instant::now() + wait >= deadline {
                via.aws_request_ids = request_ids;
                return AwsResponse { via, result };
            }
            retries += 1;
            tokio::time::sleep(wait).await;
        }
    }
}

/// Converts "key not found" to `None`.
fn not_found<T>(result: Result<T, UpstreamError>) -> Result<Option<T>, UpstreamError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(UpstreamError::Refused { refusal: Refusal::KeyNotFound, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a retry can succeed. A role that cannot be assumed is not retried.
fn is_transient(error: &UpstreamError) -> bool {
    matches!(
        error,
        UpstreamError::Throttled { .. } | UpstreamError::Fault { .. } | UpstreamError::Unanswered(_)
    )
}

fn metadata(key: &types::KeyMetadata) -> Option<KeyMetadata> {
    Some(KeyMetadata {
        arn: key.arn()?.parse().ok()?,
        state: state(key.key_state()),
        symmetric: key.key_spec() == Some(&KeySpec::SymmetricDefault),
        encrypts: key.key_usage() == Some(&KeyUsageType::EncryptDecrypt),
        customer_managed: key.key_manager() == Some(&KeyManagerType::Customer),
        deletion: key.deletion_date().map(|at| Timestamp::from_secs(at.secs())),
    })
}

/// All tags of a key. A truncated list is an error, because a policy that forbids by a missing tag would not
/// apply.
fn tags(answer: &ListResourceTagsOutput) -> Result<KeyTags, UpstreamError> {
    if answer.truncated() {
        return Err(unreadable("ListResourceTags"));
    }
    Ok(answer.tags().iter().map(|tag| (tag.tag_key().into(), tag.tag_value().into())).collect())
}

fn state(state: Option<&types::KeyState>) -> KeyState {
    match state.map(types::KeyState::as_str) {
        Some("Enabled") => KeyState::Enabled,
        Some("Disabled") => KeyState::Disabled,
        Some("PendingDeletion" | "PendingReplicaDeletion") => KeyState::PendingDeletion,
        Some(other) => KeyState::Other(other.into()),
        None => KeyState::Other("".into()),
    }
}
