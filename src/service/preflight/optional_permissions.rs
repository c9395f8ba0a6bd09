//! Checks of permissions that the service needs only with some settings: to read the tags of keys if a policy
//! uses them, and to read the account's quotas if quota discovery is enabled.

use std::sync::Arc;

use super::role_check::{Simulated, check_simulated};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{AssociateKmsKey, GetKeyUsage, Resource, Target},
        authorization::Access,
        diagnosis::{Check, CheckName},
        onboarding::{self, LOOK_AT_KEYS, READ_QUOTAS},
        policy_simulation::SimulationRequest,
        reason::Reason,
        remedy,
    },
    ports::{LogGroup, UpstreamError, aws::Refusal},
    service::{aws_message::aws_message, context::Context, shared::lookup},
};

/// Sample keys and targets, to find out whether a policy uses the tags of keys.
pub(super) struct Samples<'a> {
    /// One key for each pattern.
    pub(super) keys: &'a [KmsKeyArn],
    /// One target for each pattern.
    pub(super) targets: &'a [Resource],
    /// Log groups that exist.
    pub(super) groups: &'a [LogGroup],
    /// A key that probably exists.
    pub(super) sample_key: Option<&'a KmsKeyArn>,
}

/// Reads the tags of a key that the tenant may use, if one is known. Otherwise IAM simulates the read.
/// `None` if no policy of the snapshot uses tags.
pub(super) async fn check_key_tags(
    cx: &mut Context,
    access: &Access,
    samples: &Samples<'_>,
) -> Option<Check> {
    let (name, location) = (CheckName::RoleKeyTagsPermission, access.location());
    let policies = tag_based_policies(cx, access, samples)?.join(", ");
    let Some(key) = samples.sample_key else {
        let same_account = samples.keys.iter().filter(|key| key.account() == location.account);
        let keys: Vec<String> = same_account.map(ToString::to_string).collect();
        if keys.is_empty() {
            let detail = format!(
                "the policy {policies} uses the tags of keys, which KMS returns only within the key's own account"
            );
            return Some(Check::not_checked(name, detail));
        }
        let permission = format!("read the tags of the granted keys, which the policy {policies} uses");
        let simulation = SimulationRequest::key_tags(location, keys);
        return Some(
            check_simulated(
                cx,
                access,
                Simulated { name, permission: &permission, statement: LOOK_AT_KEYS },
                &simulation,
            )
            .await,
        );
    };
    let read = cx.ports().keys.tags(access, key, cx.call.deadline).await;
    cx.audit.record_aws_call(read.via);
    Some(match read.result {
        Ok(Some(_)) => Check::passed(name, format!("the role may read the tags of {key}")),
        Ok(None) => Check::not_checked(name, format!("the key {key} does not exist in KMS")),
        Err(UpstreamError::Refused { refusal: Refusal::Denied(_) | Refusal::Other, answer }) => {
            let detail = format!(
                "the role may not read the tags of {key}, which the policy {policies} uses: AWS returned {}",
                aws_message(&answer)
            );
            Check::failed(name, Reason::RoleLacksKmsPermission, detail, "").with_remedy_for(
                &answer.message,
                "add this statement to the role's policy; the key's policy must let the account's own policies decide",
                &remedy::role_tags_statement(key),
            )
        }
        Err(error) => Check::not_checked(name, lookup::lookup_error(&error)),
    })
}

/// The first policies found that use the tags of keys.
fn tag_based_policies(cx: &Context, access: &Access, samples: &Samples<'_>) -> Option<Vec<Arc<str>>> {
    let (tenant, location) = (access.tenant(), access.location());
    let existing = samples.groups.iter().map(|group| Target::LogGroup(group.name.clone()));
    let existing = existing.filter(|target| access.grant().allows(target));
    let existing = existing.map(|target| Resource { location: location.clone(), target });
    let targets: Vec<Resource> = existing.chain(samples.targets.iter().cloned()).collect();
    let keys: Vec<&KmsKeyArn> = samples.sample_key.into_iter().chain(samples.keys).collect();
    let of_changes = keys.iter().flat_map(|key| {
        targets.iter().map(|resource| {
            let (requested_key, key) = (KmsKeyId::Arn((*key).clone()), (*key).clone());
            let command = AssociateKmsKey { resource: resource.clone(), key, requested_key, reason: None };
            cx.required_facts(tenant, &command)
        })
    });
    let of_usage = keys.iter().map(|key| {
        let command = GetKeyUsage { location: location.clone(), key: Some((*key).clone()) };
        cx.required_facts(tenant, &command)
    });
    of_changes.chain(of_usage).map(|required| required.key_tags).find(|policies| !policies.is_empty())
}

/// Reads the account's quotas, if quota discovery is enabled. The service works without the permission.
pub(super) async fn check_quotas(cx: &mut Context, access: &Access) -> Option<Check> {
    let name = CheckName::RoleQuotasPermission;
    let read = cx.ports().quotas.refresh(access, cx.call.deadline).await?;
    cx.audit.record_aws_call(read.via);
    Some(match read.result {
        Ok(()) => Check::passed(name, "the role may read the account's quotas"),
        Err(UpstreamError::Refused { answer, .. }) => {
            let detail = format!(
                "the account's quotas cannot be read, so AWS's default quotas apply: AWS returned {}",
                aws_message(&answer)
            );
            let document = onboarding::role_statements(access.grant(), &[READ_QUOTAS]);
            Check::not_checked(name, detail).with_remedy_for(
                &answer.message,
                "to limit calls by the account's own quotas, add this statement to the role's policy",
                &document,
            )
        }
        Err(error) => Check::not_checked(name, lookup::lookup_error(&error)),
    })
}
