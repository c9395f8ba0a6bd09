//! The Key Management Service: reads keys, their policies and their tags.

use std::time::Instant;

use async_trait::async_trait;
use aws_sdk_kms::{
    operation::{
        describe_key::DescribeKeyOutput, get_key_policy::GetKeyPolicyOutput,
        list_resource_tags::ListResourceTagsOutput,
    },
    types::{self, KeyManagerType, KeySpec, KeyUsageType},
};

use super::{
    client::Aws, error::unreadable, operation::with_credentials, session_policy::SessionScope,
    sessions::key::SessionKey,
};
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
        let call = self.regional(access).kms.describe_key().key_id(key.to_string());
        let response = self
            .limited_read(&self.budgets.kms, access, deadline, with_credentials!(aws_sdk_kms, call))
            .await;
        let read = |answer: DescribeKeyOutput| {
            answer.key_metadata().and_then(metadata).ok_or_else(|| unreadable("DescribeKey"))
        };
        not_found(response.and_then(read))
    }

    async fn policy(
        &self,
        access: &Access,
        key: &KmsKeyArn,
        deadline: Instant,
    ) -> AwsResponse<Option<Box<str>>> {
        let call = self.regional(access).kms.get_key_policy().key_id(key.as_str()).policy_name("default");
        let response = self
            .limited_read(&self.budgets.kms, access, deadline, with_credentials!(aws_sdk_kms, call))
            .await;
        let read = |answer: GetKeyPolicyOutput| {
            answer.policy().map(Into::into).ok_or_else(|| unreadable("GetKeyPolicy"))
        };
        not_found(response.and_then(read))
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
        let call = self.regional(access).kms.list_resource_tags().key_id(key.as_str()).limit(MAX_TAGS);
        let response = self
            .limited_read(&self.budgets.kms, access, deadline, with_credentials!(aws_sdk_kms, call))
            .await;
        let response = not_found(response.and_then(|answer| tags(&answer)));
        if let Ok(Some(tags)) = &response.result {
            self.tags.insert(session_key, key.clone(), tags.clone());
        }
        response
    }
}

/// Converts "key not found" to `None`.
fn not_found<T>(response: AwsResponse<T>) -> AwsResponse<Option<T>> {
    let result = match response.result {
        Ok(found) => Ok(Some(found)),
        Err(UpstreamError::Refused { refusal: Refusal::KeyNotFound, .. }) => Ok(None),
        Err(error) => Err(error),
    };
    AwsResponse { via: response.via, result }
}

fn metadata(key: &types::KeyMetadata) -> Option<KeyMetadata> {
    Some(KeyMetadata {
        arn: key.arn()?.parse().ok()?,
        state: state(key.key_state()),
        symmetric: key.key_spec().map(|spec| *spec == KeySpec::SymmetricDefault),
        encrypts: key.key_usage().map(|usage| *usage == KeyUsageType::EncryptDecrypt),
        customer_managed: key.key_manager().map(|manager| *manager == KeyManagerType::Customer),
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
        None => KeyState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kms_leaves_out_is_unknown() {
        let arn = "arn:aws:kms:eu-west-1:111122223333:key/k";
        let key = types::KeyMetadata::builder().key_id("k").arn(arn).build().unwrap();
        let KeyMetadata { state, symmetric, encrypts, customer_managed, .. } = metadata(&key).unwrap();
        assert_eq!(state, KeyState::Unknown);
        assert_eq!((symmetric, encrypts, customer_managed), (None, None, None));
    }
}
