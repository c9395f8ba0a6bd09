//! Sets a key: find, decide, intent, pace, act, outcome.

use std::sync::Arc;

use super::{
    Changed, Error, KeyBroker,
    before::{Before, Need},
    change::Change,
    locate,
    replay::{self, Claim, Claimed},
    require,
    serial::Held,
    trail::Trail,
    validate,
};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        ask::{AskAssociate, ExpectedKey},
        association::{AssociateKmsKey, GetKeyAssociation, Resource, Target},
        authorization::Authorized,
        call::{Action, Call},
        principal::{Principal, Scope},
        request::OwnId,
        tenant::Tenant,
    },
    ports::limit::Operation,
};

/// An association that is about to be made.
struct Prepared {
    permit: Arc<Authorized<AssociateKmsKey>>,
    held: Held,
    before: Before,
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
        let begun = self.begin_association(call, who, &ask, &mut trail).await;
        let (tenant, resource, claimed) = match begun {
            Ok((tenant, resource, Claim::Make(claimed))) => (tenant, resource, claimed),
            Ok((tenant, resource, Claim::Repeat(before))) => {
                return self.repeat(call, who, &tenant, &resource, &before, trail);
            }
            Err(error) => {
                trail.refused(&self.ports, &error);
                return Err(error);
            }
        };
        let prepared = match self.permit_association(call, who, &tenant, resource, ask, &mut trail).await {
            Ok(permitted) => {
                self.prepare((call, who), permitted, expected.as_ref(), validate_only, &mut trail).await
            }
            Err(error) => Err(error),
        };
        match prepared {
            Ok(prepared) if validate_only => self.validate(call, who, prepared, trail).await,
            Ok(prepared) => self.set(call, prepared, claimed, trail).await,
            Err(error) => {
                trail.refused(&self.ports, &error);
                Err(error)
            }
        }
    }

    /// Makes the change.
    async fn set(
        &self,
        call: &Call,
        prepared: Prepared,
        claimed: Option<Claimed>,
        trail: Trail,
    ) -> Result<Changed, Error> {
        let Prepared { permit, held, mut before } = prepared;
        let AssociateKmsKey { resource, key, requested_key, reason: _ } = permit.command().clone();
        let change = Change {
            ports: Arc::clone(&self.ports),
            permit,
            operation: Operation::AssociateKmsKey,
            trail,
            deadline: call.deadline,
            held,
            sighting: before.sighting.take(),
            claimed,
        };
        let place = resource.clone();
        let tell = move |aws_request_id, accepted| {
            before.changed(place, Some((key, requested_key)), Some(accepted), accepted, aws_request_id)
        };
        change
            .make(tell, |ports, permit, deadline| async move {
                ports.associations.associate(&permit, deadline).await
            })
            .await
            .map_err(|error| locate::absent(error, &resource))
    }

    /// Whether the caller may make such a change at all, where, and whether it was made before.
    async fn begin_association(
        &self,
        call: &Call,
        who: &Principal,
        ask: &AskAssociate,
        trail: &mut Trail,
    ) -> Result<(Arc<Tenant>, Resource, Claim), Error> {
        trail.requested(&ask.key);
        trail.reason(ask.reason.as_ref());
        require(who, Scope::Associate)?;
        if ask.resource.target == Target::QueryResults {
            require(who, Scope::QueryResults)?;
        }
        let tenant = self.tenant(who)?;
        let resource = locate::resource(&tenant, ask.resource.clone())?;
        trail.resource(&resource);
        let Some(id) = ask.request_id.filter(|_| !ask.validate_only) else {
            return Ok((tenant, resource, Claim::Make(None)));
        };
        let id = OwnId { tenant: tenant.id.clone(), id };
        let key = ask.key.to_string();
        let (reason, expected) = (ask.reason.as_ref(), ask.expected.as_ref());
        let asked = replay::fingerprint(Action::AssociateKmsKey, &resource, Some(&key), reason, expected);
        let claim = replay::seldom(self.claim(call, id, asked)).await?;
        Ok((tenant, resource, claim))
    }

    /// Waits for the resource, and finds out what is in force.
    async fn prepare(
        &self,
        (call, who): (&Call, &Principal),
        (permit, held): (Authorized<AssociateKmsKey>, Option<Held>),
        expected: Option<&ExpectedKey>,
        validate_only: bool,
        trail: &mut Trail,
    ) -> Result<Prepared, Error> {
        let AssociateKmsKey { resource, key, .. } = permit.command();
        let access = permit.access();
        let held = self.held(held, resource, call).await?;
        let need = if expected.is_some() { Need::Certain } else { Need::Helpful };
        let before = self.before((call, who), access, resource, need, trail).await?;
        if let Some(expected) = expected {
            self.expected(call, access, expected, before.key(), trail).await?;
        }
        let before = if validate_only {
            before
        } else {
            self.with_former_health(call, access, before, Some(key)).await
        };
        Ok(Prepared { permit: Arc::new(permit), held, before })
    }

    /// Everything but the change.
    async fn validate(
        &self,
        call: &Call,
        who: &Principal,
        prepared: Prepared,
        mut trail: Trail,
    ) -> Result<Changed, Error> {
        let Prepared { permit, before, .. } = prepared;
        let AssociateKmsKey { resource, key, requested_key, reason: _ } = permit.command().clone();
        let access = permit.access();
        match self.validated(call, who, access, &resource, &requested_key, &mut trail).await {
            Ok(unchecked) => {
                trail.read(&self.ports);
                let now = self.ports.clock.now();
                let changed = before.changed(resource, Some((key, requested_key)), None, now, Box::default());
                Ok(validate::unchanged(changed, unchecked))
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
        tenant: &Arc<Tenant>,
        resource: Resource,
        ask: AskAssociate,
        trail: &mut Trail,
    ) -> Result<(Authorized<AssociateKmsKey>, Option<Held>), Error> {
        let AskAssociate { key: requested_key, reason, .. } = ask;
        let key = self.resolve(call, who, tenant, &resource, &requested_key, trail).await?;
        locate::same_region(&key, &resource)?;
        trail.resolved(&key);
        let requested = requested_key.clone();
        let command = AssociateKmsKey { resource: resource.clone(), key, requested_key, reason };
        let permitted = self.permit_informed(call, who, tenant, (command, &resource), trail).await;
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
}
