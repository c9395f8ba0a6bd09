//! Finds out why AWS refused a key: looks at the key and at its policy, which AWS's words do not tell.
//!
//! Called where a change was refused, before its outcome is recorded, so that the caller and the audit
//! log are told the same cause.

use std::time::{Duration, Instant};

use super::{Dependencies, Error, audit_context::AuditContext, role_check::RoleCheck};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::Resource,
        authorization::{Access, Authorized, Command},
        diagnosis::{self, Check, Lookup},
        key::KeyMetadata,
    },
    ports::{
        UpstreamError,
        aws::{AwsErrorDetails, Refusal},
    },
};

/// How long a look for the cause may take beyond the refusal itself.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Longest text of AWS's that is repeated, in characters.
const MAX_MESSAGE: usize = 512;

/// The error with its cause, where it is a refusal that a look can explain.
pub(super) async fn explain_refusal<C: Command>(
    ports: &Dependencies,
    authorized: &Authorized<C>,
    error: Error,
    deadline: Instant,
    audit: &mut AuditContext,
) -> Error {
    let Error::Refused { refusal, answer } = error else { return error };
    let (command, access) = (authorized.command(), authorized.access());
    let Some(target) = command.target() else { return Error::Refused { refusal, answer } };
    let resource = &Resource { location: access.location().clone(), target: target.clone() };
    let deadline = deadline.min(now() + TIMEOUT);
    let role = RoleCheck { ports, access, resource, deadline };
    let cause = match (refusal, command.key()) {
        (Refusal::RoleLacksKms, Some(key)) => Some(role.check_kms_denial(key, audit).await),
        (Refusal::RoleLacksLogs, _) => Some(role.check_logs_denial(command.action(), audit).await),
        (Refusal::Other, None) => failed_check(role.logs(command.action(), audit).await),
        (
            Refusal::KeyMissingOrNotAllowed
            | Refusal::KeyNotFound
            | Refusal::KeyDisabled
            | Refusal::KeyPendingDeletion
            | Refusal::KeyNotSymmetric
            | Refusal::Parameter
            | Refusal::Other,
            Some(key),
        ) => root_cause(&role, key, refusal, audit).await,
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
async fn root_cause(
    role: &RoleCheck<'_>,
    key: &KmsKeyArn,
    refusal: Refusal,
    audit: &mut AuditContext,
) -> Option<Check> {
    let RoleCheck { ports, access, resource, deadline } = *role;
    let named = KmsKeyId::Arn(key.clone());
    let look = describe_key(ports, access, &named, deadline, audit).await;
    let look = look.unwrap_or_else(|answer| Lookup::Unknown(format!("STS said {}", aws_message(&answer))));
    let exists = diagnosis::key_exists(&named, resource, &look);
    let usable = match &look {
        Lookup::Found(key) => diagnosis::key_usable(key),
        Lookup::Absent | Lookup::Unknown(_) => Vec::new(),
    };
    if let Some(failed) = exists.into_iter().chain(usable).find_map(failed_check) {
        return Some(failed);
    }
    let policy = fetch_policy(ports, access, key, deadline, audit).await;
    let evaluated = diagnosis::key_policy(key, resource, &policy);
    if evaluated.reason().is_some() {
        return Some(evaluated);
    }
    if matches!(refusal, Refusal::KeyMissingOrNotAllowed | Refusal::Other) {
        let role = role.check_may_associate(key, &policy, audit).await;
        if let Some(failed) = role.into_iter().find_map(failed_check) {
            return Some(failed);
        }
    }
    (refusal == Refusal::KeyMissingOrNotAllowed).then(|| diagnosis::refusal_check(&evaluated, resource))
}

/// The check, where it failed.
fn failed_check(check: Check) -> Option<Check> {
    check.reason().is_some().then_some(check)
}

/// The key as KMS knows it; or the words of STS where the role cannot be assumed.
pub(super) async fn describe_key(
    ports: &Dependencies,
    access: &Access,
    key: &KmsKeyId,
    deadline: Instant,
    audit: &mut AuditContext,
) -> Result<Lookup<KeyMetadata>, AwsErrorDetails> {
    let described = ports.keys.describe(access, key, deadline).await;
    audit.record_aws_call(described.via);
    match described.result {
        Err(UpstreamError::RoleNotAssumable { answer }) => Err(answer),
        result => Ok(to_lookup(result)),
    }
}

/// The key's policy.
pub(super) async fn fetch_policy(
    ports: &Dependencies,
    access: &Access,
    key: &KmsKeyArn,
    deadline: Instant,
    audit: &mut AuditContext,
) -> Lookup<Box<str>> {
    if key.account() != access.location().account {
        return Lookup::Unknown("it was not asked for".to_owned());
    }
    let read = ports.keys.policy(access, key, deadline).await;
    audit.record_aws_call(read.via);
    to_lookup(read.result)
}

fn to_lookup<T>(result: Result<Option<T>, UpstreamError>) -> Lookup<T> {
    match result {
        Ok(Some(found)) => Lookup::Found(found),
        Ok(None) => Lookup::Absent,
        Err(error) => Lookup::Unknown(lookup_error(&error)),
    }
}

/// Why AWS could not be asked, to be read after "since".
pub(super) fn lookup_error(error: &UpstreamError) -> String {
    match error {
        UpstreamError::Refused { answer, .. } => format!("AWS said {}", aws_message(answer)),
        UpstreamError::RoleNotAssumable { answer } => format!("STS said {}", aws_message(answer)),
        UpstreamError::Conflict { .. }
        | UpstreamError::Throttled { .. }
        | UpstreamError::Fault { .. }
        | UpstreamError::NotSent(_)
        | UpstreamError::Unanswered(_) => error.to_string(),
    }
}

/// AWS's words, bounded and on one line.
pub(super) fn aws_message(answer: &AwsErrorDetails) -> String {
    let message: String =
        answer.message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE).collect();
    format!("{}: {message}", answer.code)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
