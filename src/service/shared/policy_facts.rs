//! Loads the policy facts: the tags of the key and the previous key. Loads them before the decision, only if
//! a policy requires them, and only for a caller that may read the resource.

use std::sync::Arc;

use super::{keyed_mutex::KeyGuard, log_groups, upstream::read_error};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{GetKeyAssociation, Resource},
        authorization::{Access, Authorized, Command, Denial, PolicyFacts, PreviousKey, RequiredFacts},
        diagnosis::{Check, CheckName},
        key::KeyTags,
        reason::Reason,
        remedy,
    },
    ports::{
        UpstreamError,
        aws::{AwsErrorDetails, Refusal},
    },
    service::{
        aws_message::aws_message,
        context::Context,
        error::{AwsCallError, ChangeError, Error, Repetition, RequestError},
    },
};

/// Authorizes `command` with all facts that policies require. If the previous key is one of them, this locks
/// the resource, so that the key is still the same when the change is sent.
pub(in crate::service) async fn authorize_with_facts<C: Command + Clone>(
    cx: &mut Context,
    command: C,
    resource: &Resource,
) -> Result<(Authorized<C>, Option<KeyGuard>), Error> {
    let tenant = cx.tenant()?;
    let required = cx.required_facts(&tenant, &command);
    if required.is_empty() {
        return Ok((cx.authorize(command)?, None));
    }
    let read = cx.authorize(GetKeyAssociation { resource: resource.clone() })?;
    let guard =
        if required.previous_key.is_empty() { None } else { Some(lock_resource(cx, None, resource).await?) };
    let facts = Box::pin(load_facts(cx, &required, read.access(), command.key(), resource)).await?;
    Ok((cx.authorize_with(&facts, command)?, guard))
}

/// Locks the resource, unless `guard` already holds its lock.
pub(in crate::service) async fn lock_resource(
    cx: &Context,
    guard: Option<KeyGuard>,
    resource: &Resource,
) -> Result<KeyGuard, Error> {
    match guard {
        Some(guard) => Ok(guard),
        None => cx
            .state
            .resource_locks
            .lock(resource, cx.call.deadline)
            .await
            .ok_or(Error::Change(ChangeError::ResourceLocked)),
    }
}

/// Loads the required facts about a key and a resource.
pub(in crate::service) async fn load_facts(
    cx: &mut Context,
    required: &RequiredFacts,
    access: &Access,
    key: Option<&KmsKeyArn>,
    resource: &Resource,
) -> Result<PolicyFacts, Error> {
    let mut facts = PolicyFacts::default();
    if let (Some(key), [_, ..]) = (key, &*required.key_tags) {
        facts.key_tags = Some(key_tags(cx, access, key, &required.key_tags).await?);
    }
    if !required.previous_key.is_empty() {
        let current = if let Some(group) = log_groups::read_current_key(cx, access, resource).await? {
            group.key
        } else {
            let mut records = log_groups::load_records(cx, std::slice::from_ref(resource)).await;
            records.pop().and_then(|record| record.key)
        };
        facts.previous_key = current.map_or(PreviousKey::Nothing, PreviousKey::Key);
    }
    Ok(facts)
}

/// Reads the tags of a key. `policies` are the ones that use them.
pub(in crate::service) async fn key_tags(
    cx: &mut Context,
    access: &Access,
    key: &KmsKeyArn,
    policies: &[Arc<str>],
) -> Result<KeyTags, Error> {
    let policy_ids = policies.join(", ");
    if key.account() != access.location().account {
        let detail = format!(
            "the policy {policy_ids} uses the tags of {key}, which KMS returns only within the key's own account"
        );
        let remedy =
            "use a key of the log group's own account, or ask the operator of this service about the policy";
        let check = Check::failed(CheckName::TenantPolicy, Reason::NotAllowed, detail, remedy);
        return Err(undecided(cx, policies, check, AwsErrorDetails::default()));
    }
    let deadline = cx.call.deadline;
    let read = cx.ports().keys.tags(access, key, deadline).await;
    let failure = match read.result {
        Ok(Some(tags)) => {
            cx.audit.record_aws_call(read.via);
            return Ok(tags);
        }
        Ok(None) => Error::Request(RequestError::KeyNotFound {
            key: KmsKeyId::Arn(key.clone()),
            location: access.location().clone(),
        }),
        Err(UpstreamError::Refused { refusal: Refusal::Denied(_) | Refusal::Other, answer }) => {
            let detail = format!(
                "the policy {policy_ids} uses the tags of {key}, which the role may not read: AWS returned {}",
                aws_message(&answer)
            );
            let check = Check::failed(CheckName::TenantPolicy, Reason::RoleLacksKmsPermission, detail, "")
                .with_remedy_for(
                    &answer.message,
                    "add this statement to the role's policy",
                    &remedy::role_tags_statement(key),
                );
            return Err(undecided(cx, policies, check, answer));
        }
        Err(error) => read_error(error, deadline),
    };
    cx.audit.record_aws_call(read.via);
    cx.audit.denied(&Denial::Undecided { policies: policies.to_vec() });
    Err(failure)
}

fn undecided(cx: &mut Context, policies: &[Arc<str>], cause: Check, answer: AwsErrorDetails) -> Error {
    cx.audit.denied(&Denial::Undecided { policies: policies.to_vec() });
    Error::Aws(AwsCallError::Diagnosed { cause: Box::new(cause), answer, repetition: Repetition::Futile })
}
