//! Explains a refusal of AWS by reading the key, its policy and the role's permissions, because AWS's message
//! does not contain the cause. It runs before the outcome is recorded, so that the caller and the audit log
//! get the same cause.

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
        error::{AwsCallError, Error},
        shared::{lookup, upstream::now},
    },
};

/// How long the explanation may take after the refusal.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Adds the cause to the error, if the error is a refusal and its cause can be found.
pub(in crate::service) async fn explain_refusal<C: Command>(
    cx: &mut Context,
    authorized: &Authorized<C>,
    error: Error,
    deadline: Instant,
) -> Error {
    let Error::Aws(AwsCallError::Refused { refusal, answer }) = error else { return error };
    let (command, access) = (authorized.command(), authorized.access());
    let Some(target) = command.target() else { return Error::Aws(AwsCallError::Refused { refusal, answer }) };
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
        Some(cause) => Error::Aws(AwsCallError::Diagnosed { cause: Box::new(cause), answer }),
        None => Error::Aws(AwsCallError::Refused { refusal, answer }),
    }
}

/// The first failed check of the key or, if AWS's message does not exclude it, of the role. If no check
/// failed and AWS's message names the key, the key is the cause.
async fn root_cause(
    cx: &mut Context,
    role: &RoleCheck<'_>,
    key: &KmsKeyArn,
    refusal: Refusal,
) -> Option<Check> {
    let RoleCheck { access, resource, deadline } = *role;
    let key_id = KmsKeyId::Arn(key.clone());
    let found = lookup::describe_key(cx, access, &key_id, deadline).await;
    let found = found
        .unwrap_or_else(|answer| Lookup::Unknown(format!("STS returned {}", lookup::aws_message(&answer))));
    let exists = diagnosis::key_exists(&key_id, resource, &found);
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

/// The check, if it failed.
fn failed_check(check: Check) -> Option<Check> {
    check.reason().is_some().then_some(check)
}
