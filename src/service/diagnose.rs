//! Finds out why AWS refused a key: looks at the key and at its policy, which AWS's words do not tell.
//!
//! Called where a change was refused, before its outcome is recorded, so that the caller and the audit
//! log are told the same cause.

use std::time::{Duration, Instant};

use super::{Error, Ports, trail::Trail};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{Resource, Target},
        authorization::{Access, Authorized, Command},
        diagnosis::{self, Check, Look, Name},
        key::KeyMetadata,
        reason::Reason,
        remedy,
    },
    ports::{
        UpstreamError,
        aws::{AwsAnswer, Refusal},
    },
};

/// How long a look for the cause may take beyond the refusal itself.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest text of AWS's that is repeated, in characters.
const MAX_WORDS: usize = 512;

/// The error with its cause, where it is a refusal that a look can explain.
pub(super) async fn explained<C: Command>(
    ports: &Ports,
    permit: &Authorized<C>,
    error: Error,
    deadline: Instant,
    trail: &mut Trail,
) -> Error {
    let Error::Refused { refusal, answer } = error else { return error };
    let (Some(key), Some(target)) = (permit.command().key(), permit.command().target()) else {
        return Error::Refused { refusal, answer };
    };
    let resource = Resource { place: permit.access().place().clone(), target: target.clone() };
    let cause = match refusal {
        Refusal::RoleLacksKms => Some(role_lacks_kms(key, &resource)),
        Refusal::RoleLacksLogs => Some(role_lacks_logs(&resource)),
        Refusal::LogGroupNotFound | Refusal::LogGroupReserved | Refusal::Organization => None,
        Refusal::KeyMissingOrNotAllowed
        | Refusal::KeyNotFound
        | Refusal::KeyDisabled
        | Refusal::KeyPendingDeletion
        | Refusal::KeyNotSymmetric
        | Refusal::Parameter
        | Refusal::Other => {
            let deadline = deadline.min(now() + PATIENCE);
            cause(ports, permit.access(), key, &resource, refusal, deadline, trail).await
        }
    };
    match cause {
        Some(cause) => Error::Diagnosed { cause: Box::new(cause), answer },
        None => Error::Refused { refusal, answer },
    }
}

/// The first thing that is wrong with the key; where nothing is found and AWS blames the key, that.
async fn cause(
    ports: &Ports,
    access: &Access,
    key: &KmsKeyArn,
    resource: &Resource,
    refusal: Refusal,
    deadline: Instant,
    trail: &mut Trail,
) -> Option<Check> {
    let named = KmsKeyId::Arn(key.clone());
    let look = look_at_key(ports, access, &named, deadline, trail).await;
    let look = look.unwrap_or_else(|answer| Look::Unknown(format!("STS said {}", words(&answer))));
    let exists = diagnosis::key_exists(&named, resource, &look);
    if let Some(failed) = exists.into_iter().find(|check| check.reason().is_some()) {
        return Some(failed);
    }
    if let Look::Found(key) = &look
        && let Some(failed) = diagnosis::key_usable(key).into_iter().find(|check| check.reason().is_some())
    {
        return Some(failed);
    }
    let policy = look_at_policy(ports, access, key, deadline, trail).await;
    let judged = diagnosis::key_policy(key, resource, &policy);
    if judged.reason().is_some() {
        return Some(judged);
    }
    (refusal == Refusal::KeyMissingOrNotAllowed).then(|| diagnosis::key_refused(&judged, resource))
}

fn role_lacks_kms(key: &KmsKeyArn, resource: &Resource) -> Check {
    let detail = "the role that this service assumes may not use the key";
    Check::failed(Name::RoleKmsPermission, Reason::RoleLacksKmsPermission, detail, "").with_document(
        "add this statement to the role's policy; the key's policy must let the account's own policies decide, or name the role",
        &remedy::role_kms_statement(key, resource),
    )
}

fn role_lacks_logs(resource: &Resource) -> Check {
    let what = match resource.target {
        Target::LogGroup(_) => "of this log group",
        Target::QueryResults => "of query results",
    };
    let detail = format!("the role that this service assumes may not set the key {what}");
    Check::failed(Name::RoleLogsPermission, Reason::RoleLacksLogsPermission, detail, "")
        .with_document("add this statement to the role's policy", &remedy::role_logs_statement(resource))
}

/// The key as KMS knows it; or the words of STS where the role cannot be assumed.
pub(super) async fn look_at_key(
    ports: &Ports,
    access: &Access,
    key: &KmsKeyId,
    deadline: Instant,
    trail: &mut Trail,
) -> Result<Look<KeyMetadata>, AwsAnswer> {
    let described = ports.keys.describe(access, key, deadline).await;
    trail.via(described.via);
    match described.result {
        Err(UpstreamError::RoleNotAssumable { answer }) => Err(answer),
        result => Ok(looked(result)),
    }
}

/// The key's policy.
pub(super) async fn look_at_policy(
    ports: &Ports,
    access: &Access,
    key: &KmsKeyArn,
    deadline: Instant,
    trail: &mut Trail,
) -> Look<Box<str>> {
    if key.account() != access.place().account {
        return Look::Unknown("it was not asked for".to_owned());
    }
    let read = ports.keys.policy(access, key, deadline).await;
    trail.via(read.via);
    looked(read.result)
}

fn looked<T>(result: Result<Option<T>, UpstreamError>) -> Look<T> {
    match result {
        Ok(Some(found)) => Look::Found(found),
        Ok(None) => Look::Absent,
        Err(error) => Look::Unknown(why(&error)),
    }
}

/// Why AWS could not be asked, to be read after "since".
pub(super) fn why(error: &UpstreamError) -> String {
    match error {
        UpstreamError::Refused { answer, .. } => format!("AWS said {}", words(answer)),
        UpstreamError::RoleNotAssumable { answer } => format!("STS said {}", words(answer)),
        UpstreamError::Conflict { .. }
        | UpstreamError::Throttled { .. }
        | UpstreamError::Fault { .. }
        | UpstreamError::NotSent(_)
        | UpstreamError::Unanswered(_) => error.to_string(),
    }
}

/// AWS's words, bounded and on one line.
pub(super) fn words(answer: &AwsAnswer) -> String {
    let message: String =
        answer.message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect();
    format!("{}: {message}", answer.code)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
