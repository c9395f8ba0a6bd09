//! Reads keys for a diagnosis. A failed read is [`Lookup::Unknown`] with its cause.

use std::time::Instant;

use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        authorization::Access,
        diagnosis::Lookup,
        key::KeyMetadata,
    },
    ports::{UpstreamError, aws::AwsErrorDetails},
    service::context::Context,
};

/// The maximum length of a quoted message of AWS, in characters.
const MAX_MESSAGE: usize = 512;

/// Reads the key from KMS. The error is the message of STS if the role cannot be assumed.
pub(in crate::service) async fn describe_key(
    cx: &mut Context,
    access: &Access,
    key: &KmsKeyId,
    deadline: Instant,
) -> Result<Lookup<KeyMetadata>, AwsErrorDetails> {
    let described = cx.ports().keys.describe(access, key, deadline).await;
    cx.audit.record_aws_call(described.via);
    match described.result {
        Err(UpstreamError::RoleNotAssumable { answer }) => Err(answer),
        result => Ok(to_lookup(result)),
    }
}

/// Reads the key's policy.
pub(in crate::service) async fn fetch_policy(
    cx: &mut Context,
    access: &Access,
    key: &KmsKeyArn,
    deadline: Instant,
) -> Lookup<Box<str>> {
    if key.account() != access.location().account {
        return Lookup::Unknown("the role is in a different account".to_owned());
    }
    let read = cx.ports().keys.policy(access, key, deadline).await;
    cx.audit.record_aws_call(read.via);
    to_lookup(read.result)
}

fn to_lookup<T>(result: Result<Option<T>, UpstreamError>) -> Lookup<T> {
    match result {
        Ok(Some(found)) => Lookup::Found(found),
        Ok(None) => Lookup::Absent,
        Err(error) => Lookup::Unknown(lookup_error(&error)),
    }
}

/// The cause of a failed read, worded to follow "because".
pub(in crate::service) fn lookup_error(error: &UpstreamError) -> String {
    match error {
        UpstreamError::Refused { answer, .. } => format!("AWS returned {}", aws_message(answer)),
        UpstreamError::RoleNotAssumable { answer } => format!("STS returned {}", aws_message(answer)),
        UpstreamError::Conflict { .. }
        | UpstreamError::Throttled { .. }
        | UpstreamError::Fault { .. }
        | UpstreamError::NotSent(_)
        | UpstreamError::Unanswered(_) => error.to_string(),
    }
}

/// AWS's code and message on one line, with limited length.
pub(in crate::service) fn aws_message(answer: &AwsErrorDetails) -> String {
    let message: String =
        answer.message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE).collect();
    format!("{}: {message}", answer.code)
}
