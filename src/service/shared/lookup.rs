//! Resolves keys, and reads them for a diagnosis, where a failed read is [`Lookup::Unknown`] with its cause.

use std::time::Instant;

use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        authorization::Access,
        diagnosis::{Check, Lookup},
        key::KeyMetadata,
    },
    ports::UpstreamError,
    service::{
        aws_message::aws_message,
        context::Context,
        error::{Error, RequestError},
        shared::upstream::read_error,
    },
};

/// The ARN of the requested key. An alias or a bare key id needs a call to KMS under the tenant's role.
pub(in crate::service) async fn resolve_key(
    cx: &mut Context,
    access: &Access,
    requested: &KmsKeyId,
) -> Result<KmsKeyArn, Error> {
    if let KmsKeyId::Arn(arn) = requested {
        return Ok(arn.clone());
    }
    let deadline = cx.call.deadline;
    let described = cx.ports().keys.describe(access, requested, deadline).await;
    cx.audit.record_aws_call(described.via);
    let found = described.result.map_err(|error| read_error(error, deadline))?;
    found.map(|key| key.arn).ok_or_else(|| {
        let location = access.location().clone();
        Error::Request(RequestError::KeyNotFound { key: requested.clone(), location })
    })
}

/// Reads the key from KMS. Fails only if nothing can be read in this location.
pub(in crate::service) async fn describe_key(
    cx: &mut Context,
    access: &Access,
    key: &KmsKeyId,
    deadline: Instant,
) -> Result<Lookup<KeyMetadata>, Error> {
    let described = cx.ports().keys.describe(access, key, deadline).await;
    cx.audit.record_aws_call(described.via);
    match described.result {
        Ok(found) => Ok(to_lookup(Ok(found))),
        Err(error) => {
            let text = lookup_error(&error);
            let error = read_error(error, deadline);
            match blocking_check(cx, access, &error) {
                Some(_) => Err(error),
                None => Ok(Lookup::Unknown(text)),
            }
        }
    }
}

/// The failed check for an error that keeps the service from reading anything in this location.
pub(in crate::service) fn blocking_check(cx: &Context, access: &Access, error: &Error) -> Option<Check> {
    let Error::Aws(error) = error else { return None };
    error.blocking_check(access.location(), cx.audit.has_assumed_role())
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
        UpstreamError::RoleNotAssumable { answer, .. } => {
            format!("STS returned {}", aws_message(answer))
        }
        UpstreamError::StsThrottled { .. }
        | UpstreamError::ServiceMisconfigured { .. }
        | UpstreamError::Conflict { .. }
        | UpstreamError::Throttled { .. }
        | UpstreamError::Fault { .. }
        | UpstreamError::NotSent(_)
        | UpstreamError::Unanswered(_) => error.to_string(),
    }
}
