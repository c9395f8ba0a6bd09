//! Takes a key away, and says which former keys still protect data.

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
        ask::{AskDisassociate, ExpectedKey},
        association::{DisassociateKmsKey, Resource, Target},
        authorization::Authorized,
        call::{Action, Call},
        principal::{Principal, Scope},
        request::OwnId,
        tenant::Tenant,
    },
    ports::limit::Operation,
};

/// A disassociation that is about to be made.
struct Prepared {
    permit: Arc<Authorized<DisassociateKmsKey>>,
    held: Held,
    before: Before,
}

impl KeyBroker {
    /// Takes a key away if `who` may.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
    pub async fn disassociate(
        &self,
        call: &Call,
        who: &Principal,
        ask: AskDisassociate,
    ) -> Result<Changed, Error> {
        let mut trail = Trail::new(&self.ports, call, who);
        let (expected, validate_only) = (ask.expected.clone(), ask.validate_only);
        let begun = self.begin_disassociation(call, who, &ask, &mut trail).await;
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
        let command = DisassociateKmsKey { resource: resource.clone(), reason: ask.reason };
        let permitted = self.permit_informed(call, who, &tenant, (command, &resource), &mut trail).await;
        let prepared = match permitted {
            Ok(permitted) => {
                self.prepare_disassociation((call, who), permitted, expected.as_ref(), &mut trail).await
            }
            Err(error) => Err(error),
        };
        match prepared {
            Ok(prepared) if validate_only => self.validate_taking(call, prepared, trail).await,
            Ok(prepared) => self.take(call, prepared, claimed, trail).await,
            Err(error) => {
                trail.refused(&self.ports, &error);
                Err(error)
            }
        }
    }

    /// Everything but the change.
    async fn validate_taking(
        &self,
        call: &Call,
        prepared: Prepared,
        mut trail: Trail,
    ) -> Result<Changed, Error> {
        let Prepared { permit, before, .. } = prepared;
        let resource = &permit.command().resource;
        match self.validated_disassociation(call, permit.access(), resource, &mut trail).await {
            Ok(unchecked) => {
                trail.read(&self.ports);
                let now = self.ports.clock.now();
                let changed = before.changed(resource.clone(), None, None, now, Box::default());
                Ok(validate::unchanged(changed, unchecked))
            }
            Err(error) => {
                trail.refused(&self.ports, &error);
                Err(error)
            }
        }
    }

    /// Makes the change.
    async fn take(
        &self,
        call: &Call,
        prepared: Prepared,
        claimed: Option<Claimed>,
        trail: Trail,
    ) -> Result<Changed, Error> {
        let Prepared { permit, held, mut before } = prepared;
        let resource = permit.command().resource.clone();
        let change = Change {
            ports: Arc::clone(&self.ports),
            permit,
            operation: Operation::DisassociateKmsKey,
            trail,
            deadline: call.deadline,
            held,
            sighting: before.sighting.take(),
            claimed,
        };
        let place = resource.clone();
        let tell = move |aws_request_id, accepted| {
            before.changed(place, None, Some(accepted), accepted, aws_request_id)
        };
        change
            .make(tell, |ports, permit, deadline| async move {
                ports.associations.disassociate(&permit, deadline).await
            })
            .await
            .map_err(|error| locate::absent(error, &resource))
    }

    /// Whether the caller may make such a change at all, where, and whether it was made before.
    async fn begin_disassociation(
        &self,
        call: &Call,
        who: &Principal,
        ask: &AskDisassociate,
        trail: &mut Trail,
    ) -> Result<(Arc<Tenant>, Resource, Claim), Error> {
        trail.reason(ask.reason.as_ref());
        require(who, Scope::Disassociate)?;
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
        let (reason, expected) = (ask.reason.as_ref(), ask.expected.as_ref());
        let asked = replay::fingerprint(Action::DisassociateKmsKey, &resource, None, reason, expected);
        let claim = replay::seldom(self.claim(call, id, asked)).await?;
        Ok((tenant, resource, claim))
    }

    /// Waits for the resource, and looks at it as it is before: its key is about to be a former one,
    /// and AWS forgets former keys.
    async fn prepare_disassociation(
        &self,
        (call, who): (&Call, &Principal),
        (permit, held): (Authorized<DisassociateKmsKey>, Option<Held>),
        expected: Option<&ExpectedKey>,
        trail: &mut Trail,
    ) -> Result<Prepared, Error> {
        let (access, resource) = (permit.access(), &permit.command().resource);
        let held = self.held(held, resource, call).await?;
        let before = self.before((call, who), access, resource, Need::Certain, trail).await?;
        if let Some(expected) = expected {
            self.expected(call, access, expected, before.key(), trail).await?;
        }
        let before = self.with_former_health(call, access, before, None).await;
        Ok(Prepared { permit: Arc::new(permit), held, before })
    }
}
