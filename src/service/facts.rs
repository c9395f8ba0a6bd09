//! What policies ask to know beyond the command: looked up before they decide, by whoever may see the
//! target, and only where one asks.

use std::sync::Arc;

use super::{Error, KeyBroker, diagnose::words, read::ended, serial::Held, trail::Trail};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{GetKeyAssociation, Resource},
        authorization::{Access, Authorized, Command, Denial, Facts, PreviousKey, Wants},
        call::Call,
        diagnosis::{Check, Name},
        key::KeyTags,
        principal::Principal,
        reason::Reason,
        remedy,
        tenant::Tenant,
    },
    ports::{UpstreamError, aws::AwsAnswer},
};

impl KeyBroker {
    /// As `permit`, with all that policy wants to be told. Where that is the key before, the resource is
    /// held from then on, so that it still is the key before when the change is made.
    pub(super) async fn permit_informed<C: Command + Clone>(
        &self,
        call: &Call,
        who: &Principal,
        tenant: &Arc<Tenant>,
        command: (C, &Resource),
        trail: &mut Trail,
    ) -> Result<(Authorized<C>, Option<Held>), Error> {
        let (command, resource) = command;
        let wants = Authorized::wants(|question| self.wants(question), call, who, tenant, &command);
        if wants.is_empty() {
            return Ok((self.permit(call, who, tenant, command, trail)?, None));
        }
        let look = GetKeyAssociation { resource: resource.clone() };
        let look = self.permit(call, who, tenant, look, trail)?;
        let held =
            if wants.previous_key.is_empty() { None } else { Some(self.held(None, resource, call).await?) };
        let facts = self.look_up(&wants, look.access(), (command.key(), resource), call, trail).await?;
        Ok((self.permit_knowing(&facts, call, who, tenant, command, trail)?, held))
    }

    /// The resource held, where it is not yet.
    pub(super) async fn held(
        &self,
        held: Option<Held>,
        resource: &Resource,
        call: &Call,
    ) -> Result<Held, Error> {
        match held {
            Some(held) => Ok(held),
            None => self.serial.hold(resource, call.deadline).await.ok_or(Error::Busy),
        }
    }

    /// What policy wants to be told about a key and a resource.
    pub(super) async fn look_up(
        &self,
        wants: &Wants,
        access: &Access,
        about: (Option<&KmsKeyArn>, &Resource),
        call: &Call,
        trail: &mut Trail,
    ) -> Result<Facts, Error> {
        let mut facts = Facts::default();
        if let ((Some(key), _), [_, ..]) = (about, &*wants.key_tags) {
            facts.key_tags = Some(self.key_tags(access, key, &wants.key_tags, call, trail).await?);
        }
        if !wants.previous_key.is_empty() {
            let (_, resource) = about;
            let key = match self.look_before(call, access, resource, trail).await? {
                Some(group) => group.key,
                None => self.known(std::slice::from_ref(resource)).await.pop().and_then(|known| known.key),
            };
            facts.previous_key = key.map_or(PreviousKey::Nothing, PreviousKey::Key);
        }
        Ok(facts)
    }

    /// A key's tags, which these policies go by.
    pub(super) async fn key_tags(
        &self,
        access: &Access,
        key: &KmsKeyArn,
        policies: &[Arc<str>],
        call: &Call,
        trail: &mut Trail,
    ) -> Result<KeyTags, Error> {
        let asking = policies.join(", ");
        let mut no = |check: Check, answer: AwsAnswer| {
            trail.denied(&Denial::Undecided { policies: policies.to_vec() });
            Err(Error::Diagnosed { cause: Box::new(check), answer })
        };
        if key.account() != access.place().account {
            let detail = format!(
                "the policy {asking} asks for the tags of {key}, which KMS shows within the key's own account only"
            );
            let remedy =
                "use a key of the log group's own account, or ask whoever runs this service about the policy";
            return no(
                Check::failed(Name::TenantPolicy, Reason::NotAllowed, detail, remedy),
                AwsAnswer::default(),
            );
        }
        let read = self.ports.keys.tags(access, key, call.deadline).await;
        let failure = match read.result {
            Ok(Some(tags)) => {
                trail.via(read.via);
                return Ok(tags);
            }
            Ok(None) => Error::KeyNotFound { key: KmsKeyId::Arn(key.clone()), place: access.place().clone() },
            Err(UpstreamError::Refused { answer, .. }) => {
                let detail = format!(
                    "the policy {asking} asks for the tags of {key}, which the role may not read: AWS said {}",
                    words(&answer)
                );
                let check = Check::failed(Name::TenantPolicy, Reason::RoleLacksKmsPermission, detail, "");
                let statement = remedy::role_tags_statement(key);
                return no(
                    check.with_document("add this statement to the role's policy", &statement),
                    answer,
                );
            }
            Err(error) => ended(error, call.deadline),
        };
        trail.via(read.via);
        trail.denied(&Denial::Undecided { policies: policies.to_vec() });
        Err(failure)
    }
}
