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
        call::Action,
        diagnosis::{self, Check, CheckName, Denied, Lookup, Outcome},
        reason::Reason,
        refusal::{AccessDenial, DeniedAction, DenyingPolicy},
    },
    ports::aws::Refusal,
    service::{
        context::Context,
        error::{AwsCallError, Error, Repetition},
        shared::{lookup, upstream::now},
    },
};

/// How long the explanation may take after the refusal.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What the explanation of a refusal found.
struct Explanation {
    cause: Check,
    repetition: Repetition,
}

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
    let explanation = match (refusal, command.key()) {
        (Refusal::Denied(denial), key) => explain_denial(cx, &role, denial, (key, command.action())).await,
        (Refusal::Other, None) => confirmed(role.logs(cx, command.action()).await),
        (
            Refusal::KeyMissingOrNotAllowed
            | Refusal::KeyNotFound
            | Refusal::KeyDisabled
            | Refusal::KeyPendingDeletion
            | Refusal::KeyNotSymmetric
            | Refusal::Parameter
            | Refusal::Other,
            Some(key),
        ) => root_cause(cx, &role, key, (refusal, &answer.code)).await,
        (Refusal::RegionNotEnabled, _) => Some(possible(diagnosis::region_not_enabled(access.location()))),
        (Refusal::AccountNotSubscribed, _) => {
            Some(possible(diagnosis::account_not_subscribed(access.location())))
        }

        (Refusal::LogGroupNotFound | Refusal::LogGroupReserved, _) | (_, None) => None,
    };
    match explanation {
        Some(Explanation { cause, repetition }) => {
            Error::Aws(AwsCallError::Diagnosed { cause: Box::new(cause), answer, repetition })
        }
        None => Error::Aws(AwsCallError::Refused { refusal, answer }),
    }
}

/// The cause of a denial. If AWS's message names another policy than the role's own, that is the cause. Otherwise
/// IAM simulates the role, which also finds all other missing actions.
async fn explain_denial(
    cx: &mut Context,
    role: &RoleCheck<'_>,
    denial: AccessDenial,
    (key, action): (Option<&KmsKeyArn>, Action),
) -> Option<Explanation> {
    let RoleCheck { access, resource, .. } = *role;
    let stated = diagnosis::denied(Denied { denial, role: &access.grant().role, resource, key });
    let is_roles_own = matches!(denial.by, DenyingPolicy::Unspecified | DenyingPolicy::Identity);
    if !is_roles_own || denial.explicit {
        return Some(Explanation { cause: stated, repetition: Repetition::Futile });
    }
    let simulated = match (denial.action, key) {
        (DeniedAction::Kms, Some(key)) => role.kms(cx, key).await,
        (DeniedAction::Logs, _) => role.logs(cx, action).await,
        (DeniedAction::Kms, None) | (DeniedAction::Other, _) => return None,
    };
    Some(match simulated.outcome {
        Outcome::Failed(_) => Explanation { cause: simulated, repetition: Repetition::Futile },
        Outcome::NotChecked => Explanation { cause: stated, repetition: Repetition::Futile },
        // IAM takes some time to apply a change: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
        // ("Changes that I make are not always immediately visible").
        Outcome::Passed => {
            let detail = format!("{}, but according to IAM its current policies allow it", stated.detail);
            let remedy = "a new policy takes some time to take effect in AWS; try again".to_owned();
            let cause = Check { detail, remedy, document: None, ..stated };
            Explanation { cause, repetition: Repetition::Advised }
        }
    })
}

/// The first failed check of the key or, if AWS's message does not exclude it, of the role. If no check failed,
/// `CloudWatch` Logs has probably not noticed a recent change of the key yet.
async fn root_cause(
    cx: &mut Context,
    role: &RoleCheck<'_>,
    key: &KmsKeyArn,
    (refusal, code): (Refusal, &str),
) -> Option<Explanation> {
    let RoleCheck { access, resource, deadline } = *role;
    let key_id = KmsKeyId::Arn(key.clone());
    let found = lookup::describe_key(cx, access, &key_id, deadline).await;
    let found = found.unwrap_or_else(|error| Lookup::Unknown(error.to_string()));
    let exists = diagnosis::key_exists(&key_id, resource, &found);
    let usable = match &found {
        Lookup::Found(key) => diagnosis::key_usable(key),
        Lookup::Absent | Lookup::Unknown(_) => Vec::new(),
    };
    if let Some(failed) = exists.into_iter().chain(usable).find_map(confirmed) {
        return Some(failed);
    }
    let policy = lookup::fetch_policy(cx, access, key, deadline).await;
    let evaluated = diagnosis::key_policy(key, resource, &policy);
    if evaluated.reason().is_some() {
        return confirmed(evaluated);
    }
    if matches!(refusal, Refusal::KeyMissingOrNotAllowed | Refusal::Other) {
        let role = role.check_may_associate(cx, key, &policy).await;
        if let Some(failed) = role.into_iter().find_map(confirmed) {
            return Some(failed);
        }
    }
    let (is_found, is_allowed) = (matches!(found, Lookup::Found(_)), evaluated.outcome == Outcome::Passed);
    let unexplained = || diagnosis::refusal_check(&evaluated, resource);
    match refusal {
        Refusal::KeyMissingOrNotAllowed if is_allowed => Some(advised(unexplained())),
        Refusal::KeyMissingOrNotAllowed => Some(possible(unexplained())),
        Refusal::Other if is_allowed && code.starts_with("AccessDenied") => Some(advised(unexplained())),
        Refusal::KeyNotFound if is_found => {
            Some(advised(diagnosis::outdated_check(CheckName::KeyExists, Reason::KeyNotFound)))
        }
        Refusal::KeyDisabled if is_found => {
            Some(advised(diagnosis::outdated_check(CheckName::KeyState, Reason::KeyDisabled)))
        }
        Refusal::KeyPendingDeletion if is_found => {
            Some(advised(diagnosis::outdated_check(CheckName::KeyState, Reason::KeyPendingDeletion)))
        }
        Refusal::LogGroupNotFound
        | Refusal::LogGroupReserved
        | Refusal::KeyNotFound
        | Refusal::KeyDisabled
        | Refusal::KeyPendingDeletion
        | Refusal::KeyNotSymmetric
        | Refusal::Denied(_)
        | Refusal::RegionNotEnabled
        | Refusal::AccountNotSubscribed
        | Refusal::Parameter
        | Refusal::Other => None,
    }
}

/// The check, if it failed. The facts confirm it. Only what KMS does not have, or what is in a state that
/// passes, can change by itself.
fn confirmed(check: Check) -> Option<Explanation> {
    let passes = matches!(check.reason()?, Reason::KeyNotFound | Reason::KeyNotUsable);
    let repetition = if passes { Repetition::Possible } else { Repetition::Futile };
    Some(Explanation { cause: check, repetition })
}

/// No check found the cause.
fn advised(cause: Check) -> Explanation {
    Explanation { cause, repetition: Repetition::Advised }
}

fn possible(cause: Check) -> Explanation {
    Explanation { cause, repetition: Repetition::Possible }
}
