//! What policies ask to know beyond the command: looked up before they decide, by whoever may see the
//! target, and only where one asks.

use std::sync::Arc;

use super::{
    Error, KeyBroker, audit_context::AuditContext, explain::aws_message, keyed_mutex::KeyGuard,
    read::read_error,
};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{GetKeyAssociation, Resource},
        authorization::{Access, Authorized, Command, Denial, PolicyFacts, PreviousKey, RequiredFacts},
        call::Call,
        diagnosis::{Check, CheckName},
        key::KeyTags,
        principal::Principal,
        reason::Reason,
        remedy,
        tenant::Tenant,
    },
    ports::{UpstreamError, aws::AwsErrorDetails},
};

impl KeyBroker {
    /// As `permit`, with all that policy wants to be told. Where that is the key before, the resource is
    /// held from then on, so that it still is the key before when the change is made.
    pub(super) async fn authorize_with_facts<C: Command + Clone>(
        &self,
        call: &Call,
        principal: &Principal,
        tenant: &Arc<Tenant>,
        command: (C, &Resource),
        audit: &mut AuditContext,
    ) -> Result<(Authorized<C>, Option<KeyGuard>), Error> {
        let (command, resource) = command;
        let required_facts = Authorized::required_facts(
            |question| self.required_facts(question),
            call,
            principal,
            tenant,
            &command,
        );
        if required_facts.is_empty() {
            return Ok((self.authorize(call, principal, tenant, command, audit)?, None));
        }
        let read = GetKeyAssociation { resource: resource.clone() };
        let read = self.authorize(call, principal, tenant, read, audit)?;
        let guard = if required_facts.previous_key.is_empty() {
            None
        } else {
            Some(self.lock_resource(None, resource, call).await?)
        };
        let facts =
            self.load_facts(&required_facts, read.access(), (command.key(), resource), call, audit).await?;
        Ok((self.authorize_with(&facts, call, principal, tenant, command, audit)?, guard))
    }

    /// The resource held, where it is not yet.
    pub(super) async fn lock_resource(
        &self,
        guard: Option<KeyGuard>,
        resource: &Resource,
        call: &Call,
    ) -> Result<KeyGuard, Error> {
        match guard {
            Some(guard) => Ok(guard),
            None => self.serial.lock(resource, call.deadline).await.ok_or(Error::ResourceLocked),
        }
    }

    /// What policy wants to be told about a key and a resource.
    pub(super) async fn load_facts(
        &self,
        required_facts: &RequiredFacts,
        access: &Access,
        about: (Option<&KmsKeyArn>, &Resource),
        call: &Call,
        audit: &mut AuditContext,
    ) -> Result<PolicyFacts, Error> {
        let mut facts = PolicyFacts::default();
        if let ((Some(key), _), [_, ..]) = (about, &*required_facts.key_tags) {
            facts.key_tags = Some(self.key_tags(access, key, &required_facts.key_tags, call, audit).await?);
        }
        if !required_facts.previous_key.is_empty() {
            let (_, resource) = about;
            let key = match self.read_current_key(call, access, resource, audit).await? {
                Some(group) => group.key,
                None => self
                    .load_records(std::slice::from_ref(resource))
                    .await
                    .pop()
                    .and_then(|record| record.key),
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
        audit: &mut AuditContext,
    ) -> Result<KeyTags, Error> {
        let asking = policies.join(", ");
        let mut no = |check: Check, answer: AwsErrorDetails| {
            audit.denied(&Denial::Undecided { policies: policies.to_vec() });
            Err(Error::Diagnosed { cause: Box::new(check), answer })
        };
        if key.account() != access.location().account {
            let detail = format!(
                "the policy {asking} asks for the tags of {key}, which KMS shows within the key's own account only"
            );
            let remedy =
                "use a key of the log group's own account, or ask whoever runs this service about the policy";
            return no(
                Check::failed(CheckName::TenantPolicy, Reason::NotAllowed, detail, remedy),
                AwsErrorDetails::default(),
            );
        }
        let read = self.ports.keys.tags(access, key, call.deadline).await;
        let failure = match read.result {
            Ok(Some(tags)) => {
                audit.record_aws_call(read.via);
                return Ok(tags);
            }
            Ok(None) => {
                Error::KeyNotFound { key: KmsKeyId::Arn(key.clone()), location: access.location().clone() }
            }
            Err(UpstreamError::Refused { answer, .. }) => {
                let detail = format!(
                    "the policy {asking} asks for the tags of {key}, which the role may not read: AWS said {}",
                    aws_message(&answer)
                );
                let check =
                    Check::failed(CheckName::TenantPolicy, Reason::RoleLacksKmsPermission, detail, "");
                let statement = remedy::role_tags_statement(key);
                return no(
                    check.with_document("add this statement to the role's policy", &statement),
                    answer,
                );
            }
            Err(error) => read_error(error, call.deadline),
        };
        audit.record_aws_call(read.via);
        audit.denied(&Denial::Undecided { policies: policies.to_vec() });
        Err(failure)
    }
}
