//! Takes a key away, and says which former keys still protect data.

use std::sync::Arc;

use super::{
    Changed, Error, KeyBroker,
    audit_context::AuditContext,
    dry_run,
    execute_change::Change,
    idempotency::{self, Admission, Reservation},
    keyed_mutex::KeyGuard,
    prior_state::{PriorState, Requirement},
    require_scope, resolve,
};
use crate::{
    domain::{
        association::{DisassociateKmsKey, Resource, Target},
        authorization::Authorized,
        call::{Action, Call},
        idempotency::IdempotencyKey,
        principal::{Principal, Scope},
        request::{DisassociateRequest, ExpectedKey},
        tenant::Tenant,
    },
    ports::limit::Operation,
};

/// A disassociation that is about to be made.
struct PreparedChange {
    authorized: Arc<Authorized<DisassociateKmsKey>>,
    guard: KeyGuard,
    prior: PriorState,
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
        principal: &Principal,
        request: DisassociateRequest,
    ) -> Result<Changed, Error> {
        let mut audit = AuditContext::new(&self.ports, call, principal);
        let (expected, validate_only) = (request.expected.clone(), request.validate_only);
        let started = self.resolve_and_claim_disassociation(call, principal, &request, &mut audit).await;
        let (tenant, resource, reservation) = match started {
            Ok((tenant, resource, Admission::Make(reservation))) => (tenant, resource, reservation),
            Ok((tenant, resource, Admission::Repeat(recorded))) => {
                return self.replay(call, principal, &tenant, &resource, &recorded, audit);
            }
            Err(error) => {
                audit.record_refusal(&self.ports, &error);
                return Err(error);
            }
        };
        let command = DisassociateKmsKey { resource: resource.clone(), reason: request.reason };
        let permitted =
            self.authorize_with_facts(call, principal, &tenant, (command, &resource), &mut audit).await;
        let prepared = match permitted {
            Ok(permitted) => {
                self.prepare_disassociation((call, principal), permitted, expected.as_ref(), &mut audit).await
            }
            Err(error) => Err(error),
        };
        match prepared {
            Ok(prepared) if validate_only => self.dry_run_disassociation(call, prepared, audit).await,
            Ok(prepared) => self.apply_disassociation(call, prepared, reservation, audit).await,
            Err(error) => {
                audit.record_refusal(&self.ports, &error);
                Err(error)
            }
        }
    }

    /// Everything but the change.
    async fn dry_run_disassociation(
        &self,
        call: &Call,
        prepared: PreparedChange,
        mut audit: AuditContext,
    ) -> Result<Changed, Error> {
        let PreparedChange { authorized, prior, .. } = prepared;
        let resource = &authorized.command().resource;
        match self.validated_disassociation(call, authorized.access(), resource, &mut audit).await {
            Ok(unchecked) => {
                audit.read(&self.ports);
                let now = self.ports.clock.now();
                let changed = prior.into_changed(resource.clone(), None, None, now, Box::default());
                Ok(dry_run::as_dry_run(changed, unchecked))
            }
            Err(error) => {
                audit.record_refusal(&self.ports, &error);
                Err(error)
            }
        }
    }

    /// Makes the change.
    async fn apply_disassociation(
        &self,
        call: &Call,
        prepared: PreparedChange,
        reservation: Option<Reservation>,
        audit: AuditContext,
    ) -> Result<Changed, Error> {
        let PreparedChange { authorized, guard: held, mut prior } = prepared;
        let resource = authorized.command().resource.clone();
        let change = Change {
            ports: Arc::clone(&self.ports),
            authorized,
            operation: Operation::DisassociateKmsKey,
            audit,
            deadline: call.deadline,
            guard: held,
            observation: prior.observation.take(),
            reservation,
        };
        let location = resource.clone();
        let tell = move |aws_request_id, accepted| {
            prior.into_changed(location, None, Some(accepted), accepted, aws_request_id)
        };
        change
            .execute(tell, |ports, authorized, deadline| async move {
                ports.associations.disassociate(&authorized, deadline).await
            })
            .await
            .map_err(|error| resolve::mask_as_not_found(error, &resource))
    }

    /// Whether the caller may make such a change at all, where, and whether it was made before.
    async fn resolve_and_claim_disassociation(
        &self,
        call: &Call,
        principal: &Principal,
        request: &DisassociateRequest,
        audit: &mut AuditContext,
    ) -> Result<(Arc<Tenant>, Resource, Admission), Error> {
        audit.reason(request.reason.as_ref());
        require_scope(principal, Scope::Disassociate)?;
        if request.resource.target == Target::QueryResults {
            require_scope(principal, Scope::QueryResults)?;
        }
        let tenant = self.tenant(principal)?;
        let resource = resolve::resolve_resource(&tenant, request.resource.clone())?;
        audit.resource(&resource);
        let Some(id) = request.request_id.filter(|_| !request.validate_only) else {
            return Ok((tenant, resource, Admission::Make(None)));
        };
        let id = IdempotencyKey { tenant: tenant.id.clone(), id };
        let (reason, expected) = (request.reason.as_ref(), request.expected.as_ref());
        let fingerprint =
            idempotency::fingerprint(Action::DisassociateKmsKey, &resource, None, reason, expected);
        let claim = idempotency::boxed(self.claim(call, id, fingerprint)).await?;
        Ok((tenant, resource, claim))
    }

    /// Waits for the resource, and looks at it as it is before: its key is about to be a former one,
    /// and AWS forgets former keys.
    async fn prepare_disassociation(
        &self,
        (call, principal): (&Call, &Principal),
        (authorized, guard): (Authorized<DisassociateKmsKey>, Option<KeyGuard>),
        expected: Option<&ExpectedKey>,
        audit: &mut AuditContext,
    ) -> Result<PreparedChange, Error> {
        let (access, resource) = (authorized.access(), &authorized.command().resource);
        let guard = self.lock_resource(guard, resource, call).await?;
        let prior =
            self.load_prior_state((call, principal), access, resource, Requirement::Required, audit).await?;
        if let Some(expected) = expected {
            self.check_precondition(call, access, expected, prior.key(), audit).await?;
        }
        let prior = self.with_former_health(call, access, prior, None).await;
        Ok(PreparedChange { authorized: Arc::new(authorized), guard, prior })
    }
}
