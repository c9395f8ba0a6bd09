//! Finds out why AWS refused a key: looks at the key and at its policy, which AWS's words do not tell.
//!
//! Called where a change was refused, before its outcome is recorded, so that the caller and the audit
//! log are told the same cause.

use std::time::{Duration, Instant};

use super::{Error, Ports, role::RoleLook, trail::Trail};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::Resource,
        authorization::{Access, Authorized, Command},
        diagnosis::{self, Check, Look},
        key::KeyMetadata,
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
    let (command, access) = (permit.command(), permit.access());
    let Some(target) = command.target() else { return Error::Refused { refusal, answer } };
    let resource = &Resource { place: access.place().clone(), target: target.clone() };
    let deadline = deadline.min(now() + PATIENCE);
    let role = RoleLook { ports, access, resource, deadline };
    let cause = match (refusal, command.key()) {
        (Refusal::RoleLacksKms, Some(key)) => Some(role.lacks_kms(key, trail).await),
        (Refusal::RoleLacksLogs, _) => Some(role.lacks_logs(command.action(), trail).await),
        (Refusal::Other, None) => blamed(role.logs(command.action(), trail).await),
        (
            Refusal::KeyMissingOrNotAllowed
            | Refusal::KeyNotFound
            | Refusal::KeyDisabled
            | Refusal::KeyPendingDeletion
            | Refusal::KeyNotSymmetric
            | Refusal::Parameter
            | Refusal::Other,
            Some(key),
        ) => cause(&role, key, refusal, trail).await,
        (Refusal::LogGroupNotFound | Refusal::LogGroupReserved | Refusal::Organization, _) | (_, None) => {
            None
        }
    };
    match cause {
        Some(cause) => Error::Diagnosed { cause: Box::new(cause), answer },
        None => Error::Refused { refusal, answer },
    }
}

/// The first thing that is wrong with the key or, where AWS's words leave it open, with the role; where
/// nothing is found and AWS blames the key, that.
async fn cause(role: &RoleLook<'_>, key: &KmsKeyArn, refusal: Refusal, trail: &mut Trail) -> Option<Check> {
    let RoleLook { ports, access, resource, deadline } = *role;
    let named = KmsKeyId::Arn(key.clone());
    let look = look_at_key(ports, access, &named, deadline, trail).await;
    let look = look.unwrap_or_else(|answer| Look::Unknown(format!("STS said {}", words(&answer))));
    let exists = diagnosis::key_exists(&named, resource, &look);
    let usable = match &look {
        Look::Found(key) => diagnosis::key_usable(key),
        Look::Absent | Look::Unknown(_) => Vec::new(),
    };
    if let Some(failed) = exists.into_iter().chain(usable).find_map(blamed) {
        return Some(failed);
    }
    let policy = look_at_policy(ports, access, key, deadline, trail).await;
    let judged = diagnosis::key_policy(key, resource, &policy);
    if judged.reason().is_some() {
        return Some(judged);
    }
    if matches!(refusal, Refusal::KeyMissingOrNotAllowed | Refusal::Other) {
        let role = role.may_associate(key, &policy, trail).await;
        if let Some(failed) = role.into_iter().find_map(blamed) {
            return Some(failed);
        }
    }
    (refusal == Refusal::KeyMissingOrNotAllowed).then(|| diagnosis::key_refused(&judged, resource))
}

/// The check, where it failed.
fn blamed(check: Check) -> Option<Check> {
    check.reason().is_some().then_some(check)
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
