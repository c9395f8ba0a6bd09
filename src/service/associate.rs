//! Sets a key: find, decide, intent, pace, act, outcome.

use std::sync::Arc;

use super::{
    Changed, Error, KeyBroker, change::Change, locate, require, serial::Held, trail::Trail, validate,
};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        ask::{AskAssociate, ExpectedKey},
        association::{
            AssociateKmsKey, GetKeyAssociation, KeyAssociation, RecordedAssociation, Resource, Source, State,
            Target, Warning,
        },
        authorization::Authorized,
        call::Call,
        key::KeyHealth,
        principal::{Principal, Scope},
        tenant::Tenant,
    },
    ports::{LogGroup, limit::Operation},
};

/// An association that is about to be made.
struct Prepared {
    permit: Arc<Authorized<AssociateKmsKey>>,
    held: Held,
    /// As AWS has it, where it was looked at.
    group: Option<LogGroup>,
    previous: Option<KmsKeyArn>,
}

impl KeyBroker {
    /// Sets a key if `who` may.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
    pub async fn associate(&self, call: &Call, who: &Principal, ask: AskAssociate) -> Result<Changed, Error> {
        let mut trail = Trail::new(&self.ports, call, who);
        let (expected, validate_only) = (ask.expected.clone(), ask.validate_only);
        let prepared = match self.permit_association(call, who, ask, &mut trail).await {
            Ok(permitted) => self.prepare(call, permitted, expected.as_ref(), &mut trail).await,
            Err(error) => Err(error),
        };
        let prepared = match prepared {
            Ok(prepared) if validate_only => return self.validate(call, who, prepared, trail).await,
            Ok(prepared) => prepared,
            Err(error) => {
                trail.refused(&self.ports, &error);
                return Err(error);
            }
        };
        let Prepared { permit, held, previous, .. } = prepared;
        let AssociateKmsKey { resource, key, requested_key, reason: _ } = permit.command().clone();

        let (place, new, old) = (resource.clone(), key.clone(), previous.clone());
        let record = move |accepted| RecordedAssociation {
            resource: place,
            key: Some(new),
            previous_key: old,
            accepted,
        };
        let change = Change {
            ports: self.ports.clone(),
            permit,
            operation: Operation::AssociateKmsKey,
            trail,
            deadline: call.deadline,
            held,
        };
        let done = change
            .make(record, |ports, permit, deadline| async move {
                ports.associations.associate(&permit, deadline).await
            })
            .await
            .map_err(|error| locate::absent(error, &resource))?;

        let warnings = warnings(&resource, &key, previous.as_ref());
        let association = KeyAssociation {
            resource,
            key: Some(key),
            requested_key: Some(requested_key),
            previous_key: previous,
            state: State::Settling,
            accepted: Some(done.accepted),
            // AWS takes no key that CloudWatch Logs cannot use at that moment.
            health: KeyHealth::Usable,
            key_deletion: None,
            class: None,
            retention: None,
            source: Source::Recorded,
        };
        Ok(Changed { association, event: Some(done.event), aws_request_id: done.aws_request_id, warnings })
    }

    /// Waits for the resource, and looks at what is in force where the caller has an expectation of it.
    async fn prepare(
        &self,
        call: &Call,
        (permit, held): (Authorized<AssociateKmsKey>, Option<Held>),
        expected: Option<&ExpectedKey>,
        trail: &mut Trail,
    ) -> Result<Prepared, Error> {
        let resource = &permit.command().resource;
        let held = self.held(held, resource, call).await?;
        let group = match expected {
            Some(_) => self.look_before(call, permit.access(), resource, trail).await?,
            None => None,
        };
        let previous = match &group {
            Some(group) => group.key.clone(),
            None => self.recorded_key(resource).await,
        };
        trail.previous(previous.as_ref());
        if let Some(expected) = expected {
            self.expected(call, permit.access(), expected, previous.as_ref(), trail).await?;
        }
        Ok(Prepared { permit: Arc::new(permit), held, group, previous })
    }

    /// Everything but the change.
    async fn validate(
        &self,
        call: &Call,
        who: &Principal,
        prepared: Prepared,
        mut trail: Trail,
    ) -> Result<Changed, Error> {
        let Prepared { permit, group, previous, .. } = prepared;
        let AssociateKmsKey { resource, key, requested_key, reason: _ } = permit.command().clone();
        let access = permit.access();
        match self.validated(call, who, access, &resource, &requested_key, &mut trail).await {
            Ok(mut told) => {
                trail.read(&self.ports);
                told.extend(warnings(&resource, &key, previous.as_ref()));
                Ok(validate::unchanged(resource, Some((key, requested_key)), previous, group, told))
            }
            Err(error) => {
                trail.refused(&self.ports, &error);
                Err(error)
            }
        }
    }

    async fn permit_association(
        &self,
        call: &Call,
        who: &Principal,
        ask: AskAssociate,
        trail: &mut Trail,
    ) -> Result<(Authorized<AssociateKmsKey>, Option<Held>), Error> {
        let AskAssociate { resource, key: requested_key, reason, .. } = ask;
        trail.requested(&requested_key);
        trail.reason(reason.as_ref());
        require(who, Scope::Associate)?;
        if resource.target == Target::QueryResults {
            require(who, Scope::QueryResults)?;
        }
        let tenant = self.tenant(who)?;
        let resource = locate::resource(&tenant, resource)?;
        trail.resource(&resource);
        let key = self.resolve(call, who, &tenant, &resource, &requested_key, trail).await?;
        locate::same_region(&key, &resource)?;
        trail.resolved(&key);
        let command = AssociateKmsKey { resource: resource.clone(), key, requested_key, reason };
        let requested = command.requested_key.clone();
        let permitted = self.permit_informed(call, who, &tenant, (command, &resource), trail).await;
        permitted.map_err(|error| locate::as_asked(error, &requested))
    }

    /// The ARN of the key that is meant. Only an alias or a bare id has to be looked up, by whoever
    /// may see the target.
    async fn resolve(
        &self,
        call: &Call,
        who: &Principal,
        tenant: &Arc<Tenant>,
        resource: &Resource,
        requested: &KmsKeyId,
        trail: &mut Trail,
    ) -> Result<KmsKeyArn, Error> {
        if let KmsKeyId::Arn(arn) = requested {
            return Ok(arn.clone());
        }
        let look = GetKeyAssociation { resource: resource.clone() };
        let permit = self.permit(call, who, tenant, look, trail)?;
        let described = self.ports.keys.describe(permit.access(), requested, call.deadline).await;
        trail.via(described.via);
        let found = described.result.map_err(|error| super::read::ended(error, call.deadline))?;
        let key = found
            .ok_or_else(|| Error::KeyNotFound { key: requested.clone(), place: resource.place.clone() })?;
        Ok(key.arn)
    }

    /// The key that our own record says is set, where it says anything: the record is a help, so that
    /// a store that does not answer costs nothing here.
    pub(super) async fn recorded_key(&self, resource: &Resource) -> Option<KmsKeyArn> {
        let known = self.ports.history.known(std::slice::from_ref(resource)).await;
        known.ok()?.into_iter().next()?.key
    }
}

fn warnings(resource: &Resource, key: &KmsKeyArn, previous: Option<&KmsKeyArn>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(previous) = previous.filter(|previous| *previous != key) {
        warnings.push(Warning {
            code: "KEY_REPLACED",
            message: format!(
                "the key {previous} was set before; what was written under it stays under it until its retention ends, so keep that key enabled"
            ),
        });
    }
    if matches!(resource.target, Target::LogGroup(_)) {
        warnings.push(Warning {
            code: "QUERY_RESULTS_NOT_COVERED",
            message: "stored query results are not covered by a log group's key: they have a key of their own, for the whole account and Region".into(),
        });
    }
    warnings
}
