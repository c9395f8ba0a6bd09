//! Permissions that only some settings make this service use: tags of keys, where a policy goes by them,
//! and the account's quotas, where they are asked for.

use std::sync::Arc;

use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{AssociateKmsKey, GetKeyUsage, Resource, Target},
        authorization::{Access, Authorized},
        call::Call,
        diagnosis::{Check, Name},
        onboarding::{self, LOOK_AT_KEYS, READ_QUOTAS},
        principal::Principal,
        reason::Reason,
        remedy,
        simulation::Trial,
    },
    ports::{LogGroup, UpstreamError, aws::Refusal},
    service::{KeyBroker, diagnose, trail::Trail},
};

/// What policies are asked about, to see whether they go by the tags of keys.
pub(super) struct Asked<'a> {
    /// One key for each pattern.
    pub(super) keys: &'a [KmsKeyArn],
    /// One target for each pattern.
    pub(super) targets: &'a [Resource],
    /// Log groups that are there.
    pub(super) groups: &'a [LogGroup],
    /// A key that is there.
    pub(super) known: Option<&'a KmsKeyArn>,
}

impl KeyBroker {
    /// Reads the tags of a key that the tenant may use, where one is known; otherwise IAM is asked. None
    /// where no policy in force goes by tags.
    pub(super) async fn try_key_tags(
        &self,
        call: &Call,
        who: &Principal,
        access: &Access,
        asked: &Asked<'_>,
        trail: &mut Trail,
    ) -> Option<Check> {
        let (name, place) = (Name::RoleKeyTagsPermission, access.place());
        let policies = self.going_by_tags(call, who, access, asked)?.join(", ");
        let Some(key) = asked.known else {
            let home = asked.keys.iter().filter(|key| key.account() == place.account);
            let keys: Vec<String> = home.map(ToString::to_string).collect();
            if keys.is_empty() {
                let detail = format!(
                    "the policy {policies} goes by the tags of keys, which KMS shows within a key's own account only"
                );
                return Some(Check::not_checked(name, detail));
            }
            let what = format!("read the tags of the granted keys, which the policy {policies} goes by");
            let trial = Trial::key_tags(place, keys);
            return Some(self.simulated(access, name, &trial, &what, LOOK_AT_KEYS, call, trail).await);
        };
        let read = self.ports.keys.tags(access, key, call.deadline).await;
        trail.via(read.via);
        Some(match read.result {
            Ok(Some(_)) => Check::passed(name, format!("the role may read the tags of {key}")),
            Ok(None) => Check::not_checked(name, format!("KMS knows no key {key}")),
            Err(UpstreamError::Refused { refusal: Refusal::RoleLacksKms | Refusal::Other, answer }) => {
                let detail = format!(
                    "the role may not read the tags of {key}, which the policy {policies} goes by: AWS said {}",
                    diagnose::words(&answer)
                );
                Check::failed(name, Reason::RoleLacksKmsPermission, detail, "").with_document(
                    "add this statement to the role's policy; the key's policy must let the account's own policies decide",
                    &remedy::role_tags_statement(key),
                )
            }
            Err(error) => Check::not_checked(name, diagnose::why(&error)),
        })
    }

    /// The first policies found that go by the tags of keys.
    fn going_by_tags(
        &self,
        call: &Call,
        who: &Principal,
        access: &Access,
        asked: &Asked<'_>,
    ) -> Option<Vec<Arc<str>>> {
        let (tenant, place) = (access.tenant(), access.place());
        let there = asked.groups.iter().map(|group| Target::LogGroup(group.name.clone()));
        let there = there.filter(|target| access.grant().opens(target));
        let there = there.map(|target| Resource { place: place.clone(), target });
        let targets: Vec<Resource> = there.chain(asked.targets.iter().cloned()).collect();
        let keys: Vec<&KmsKeyArn> = asked.known.into_iter().chain(asked.keys).collect();
        let sets = keys.iter().flat_map(|key| {
            targets.iter().map(|resource| {
                let (requested_key, key) = (KmsKeyId::Arn((*key).clone()), (*key).clone());
                let would = AssociateKmsKey { resource: resource.clone(), key, requested_key, reason: None };
                Authorized::wants(|question| self.wants(question), call, who, tenant, &would)
            })
        });
        let looks = keys.iter().map(|key| {
            let would = GetKeyUsage { place: place.clone(), key: Some((*key).clone()) };
            Authorized::wants(|question| self.wants(question), call, who, tenant, &would)
        });
        sets.chain(looks).map(|wants| wants.key_tags).find(|policies| !policies.is_empty())
    }

    /// Reads the account's quotas, where the service does so. The role may do without.
    pub(super) async fn try_quotas(&self, access: &Access, call: &Call, trail: &mut Trail) -> Option<Check> {
        let name = Name::RoleQuotasPermission;
        let read = self.ports.quotas.learn_now(access, call.deadline).await?;
        trail.via(read.via);
        Some(match read.result {
            Ok(()) => Check::passed(name, "the role may read the account's quotas"),
            Err(UpstreamError::Refused { answer, .. }) => {
                let detail = format!(
                    "the account's quotas cannot be read, and AWS's defaults are kept: AWS said {}",
                    diagnose::words(&answer)
                );
                let document = onboarding::role_statements(access.grant(), &[READ_QUOTAS]);
                Check::not_checked(name, detail).with_document(
                    "to have calls paced by the account's own quotas, add this statement to the role's policy",
                    &document,
                )
            }
            Err(error) => Check::not_checked(name, diagnose::why(&error)),
        })
    }
}
