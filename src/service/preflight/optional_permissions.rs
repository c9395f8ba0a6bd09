//! Permissions that only some settings make this service use: tags of keys, where a policy goes by them,
//! and the account's quotas, where they are asked for.

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
    service::{context::Context, shared::lookup},
};

/// What policies are asked about, to see whether they go by the tags of keys.
pub(super) struct Samples<'a> {
    /// One key for each pattern.
    pub(super) keys: &'a [KmsKeyArn],
    /// One target for each pattern.
    pub(super) targets: &'a [Resource],
    /// Log groups that are there.
    pub(super) groups: &'a [LogGroup],
    /// A key that is there.
    pub(super) sample_key: Option<&'a KmsKeyArn>,
}

/// Reads the tags of a key that the tenant may use, where one is known; otherwise IAM is asked. None
/// where no policy in force goes by tags.
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
                "the policy {policies} goes by the tags of keys, which KMS shows within a key's own account only"
            );
            return Some(Check::not_checked(name, detail));
        }
        let what = format!("read the tags of the granted keys, which the policy {policies} goes by");
        let simulation = SimulationRequest::key_tags(location, keys);
        return Some(
            check_simulated(
                cx,
                access,
                Simulated { name, what: &what, statement: LOOK_AT_KEYS },
                &simulation,
            )
            .await,
        );
    };
    let read = cx.ports().keys.tags(access, key, cx.call.deadline).await;
    cx.audit.record_aws_call(read.via);
    Some(match read.result {
        Ok(Some(_)) => Check::passed(name, format!("the role may read the tags of {key}")),
        Ok(None) => Check::not_checked(name, format!("KMS knows no key {key}")),
        Err(UpstreamError::Refused { refusal: Refusal::RoleLacksKms | Refusal::Other, answer }) => {
            let detail = format!(
                "the role may not read the tags of {key}, which the policy {policies} goes by: AWS said {}",
                lookup::aws_message(&answer)
            );
            Check::failed(name, Reason::RoleLacksKmsPermission, detail, "").with_document(
                "add this statement to the role's policy; the key's policy must let the account's own policies decide",
                &remedy::role_tags_statement(key),
            )
        }
        Err(error) => Check::not_checked(name, lookup::lookup_error(&error)),
    })
}

/// The first policies found that go by the tags of keys.
fn tag_based_policies(cx: &Context, access: &Access, samples: &Samples<'_>) -> Option<Vec<Arc<str>>> {
    let (tenant, location) = (access.tenant(), access.location());
    let there = samples.groups.iter().map(|group| Target::LogGroup(group.name.clone()));
    let there = there.filter(|target| access.grant().allows(target));
    let there = there.map(|target| Resource { location: location.clone(), target });
    let targets: Vec<Resource> = there.chain(samples.targets.iter().cloned()).collect();
    let keys: Vec<&KmsKeyArn> = samples.sample_key.into_iter().chain(samples.keys).collect();
    let sets = keys.iter().flat_map(|key| {
        targets.iter().map(|resource| {
            let (requested_key, key) = (KmsKeyId::Arn((*key).clone()), (*key).clone());
            let would = AssociateKmsKey { resource: resource.clone(), key, requested_key, reason: None };
            cx.required_facts(tenant, &would)
        })
    });
    let looks = keys.iter().map(|key| {
        let would = GetKeyUsage { location: location.clone(), key: Some((*key).clone()) };
        cx.required_facts(tenant, &would)
    });
    sets.chain(looks).map(|required_facts| required_facts.key_tags).find(|policies| !policies.is_empty())
}

/// Reads the account's quotas, where the service does so. The role may do without.
pub(super) async fn check_quotas(cx: &mut Context, access: &Access) -> Option<Check> {
    let name = CheckName::RoleQuotasPermission;
    let read = cx.ports().quotas.refresh(access, cx.call.deadline).await?;
    cx.audit.record_aws_call(read.via);
    Some(match read.result {
        Ok(()) => Check::passed(name, "the role may read the account's quotas"),
        Err(UpstreamError::Refused { answer, .. }) => {
            let detail = format!(
                "the account's quotas cannot be read, and AWS's defaults are kept: AWS said {}",
                lookup::aws_message(&answer)
            );
            let document = onboarding::role_statements(access.grant(), &[READ_QUOTAS]);
            Check::not_checked(name, detail).with_document(
                "to have calls paced by the account's own quotas, add this statement to the role's policy",
                &document,
            )
        }
        Err(error) => Check::not_checked(name, lookup::lookup_error(&error)),
    })
}
