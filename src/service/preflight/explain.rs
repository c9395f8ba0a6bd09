//! Explains why AWS refused a key, by reading the key and its policy: AWS's message does not say.
//!
//! Runs before the outcome is recorded, so that the caller and the audit log get the same cause.

use std::time::{Duration, Instant};

use super::role_check::RoleCheck;
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::Resource,
        authorization::{Authorized, Command},
        diagnosis::{self, Check, Lookup},
    },
    ports::aws::Refusal,
    service::{
        context::Context,
        error::Error,
        shared::{lookup, upstream::now},
    },
};

/// How long the explanation may take after the refusal.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The error with its cause, where the cause of the refusal can be read.
pub(in crate::service) async fn explain_refusal<C: Command>(
    cx: &mut Context,
    authorized: &Authorized<C>,
    error: Error,
    deadline: Instant,
) -> Error {
    let Error::Refused { refusal, answer } = error else { return error };
    let (command, access) = (authorized.command(), authorized.access());
    let Some(target) = command.target() else { return Error::Refused { refusal, answer } };
    let resource = &Resource { location: access.location().clone(), target: target.clone() };
    let deadline = deadline.min(now() + TIMEOUT);
    let role = RoleCheck { access, resource, deadline };
    let cause = match (refusal, command.key()) {
        (Refusal::RoleLacksKms, Some(key)) => Some(role.check_kms_denial(cx, key).await),
        (Refusal::RoleLacksLogs, _) => Some(role.check_logs_denial(cx, command.action()).await),
        (Refusal::Other, None) => failed_check(role.logs(cx, command.action()).await),
        (
            Refusal::KeyMissingOrNotAllowed
            | Refusal::KeyNotFound
            | Refusal::KeyDisabled
            | Refusal::KeyPendingDeletion
            | Refusal::KeyNotSymmetric
            | Refusal::Parameter
            | Refusal::Other,
            Some(key),
        ) => root_cause(cx, &role, key, refusal).await,
        (Refusal::LogGroupNotFound | Refusal::LogGroupReserved | Refusal::Organization, _) | (_, None) => {
            None
        }
    };
    match cause {
        Some(cause) => Error::Diagnosed { cause: Box::new(cause), answer },
        None => Error::Refused { refusal, answer },
    }
}

/// The first fault of the key or, where AWS's message leaves it open, of the role. Where none is found and
/// AWS blames the key, the key.
async fn root_cause(
    cx: &mut Context,
    role: &RoleCheck<'_>,
    key: &KmsKeyArn,
    refusal: Refusal,
) -> Option<Check> {
    let RoleCheck { access, resource, deadline } = *role;
    let named = KmsKeyId::Arn(key.clone());
    let found = lookup::describe_key(cx, access, &named, deadline).await;
    let found =
        found.unwrap_or_else(|answer| Lookup::Unknown(format!("STS said {}", lookup::aws_message(&answer))));
    let exists = diagnosis::key_exists(&named, resource, &found);
    let usable = match &found {
        Lookup::Found(key) => diagnosis::key_usable(key),
        Lookup::Absent | Lookup::Unknown(_) => Vec::new(),
    };
    if let Some(failed) = exists.into_iter().chain(usable).find_map(failed_check) {
        return Some(failed);
    }
    let policy = lookup::fetch_policy(cx, access, key, deadline).await;
    let evaluated = diagnosis::key_policy(key, resource, &policy);
    if evaluated.reason().is_some() {
        return Some(evaluated);
    }
    if matches!(refusal, Refusal::KeyMissingOrNotAllowed | Refusal::Other) {
        let role = role.check_may_associate(cx, key, &policy).await;
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
