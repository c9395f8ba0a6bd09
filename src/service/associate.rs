//! Sets a key: find, decide, intent, pace, act, outcome.

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
        arn::{KmsKeyArn, KmsKeyId},
        association::{AssociateKmsKey, GetKeyAssociation, Resource, Target},
        authorization::Authorized,
        call::{Action, Call},
        idempotency::IdempotencyKey,
        principal::{Principal, Scope},
        request::{AssociateRequest, ExpectedKey},
        tenant::Tenant,
    },
    ports::limit::Operation,
};

/// An association that is about to be made.
struct PreparedChange {
    authorized: Arc<Authorized<AssociateKmsKey>>,
    guard: KeyGuard,
    prior: PriorState,
}

impl KeyBroker {
    /// Sets a key if `who` may.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
    pub async fn associate(
        &self,
        call: &Call,
        principal: &Principal,
        request: AssociateRequest,
    ) -> Result<Changed, Error> {
        let mut audit = AuditContext::new(&self.ports, call, principal);
        let (expected, validate_only) = (request.expected.clone(), request.validate_only);
        let started = self.resolve_and_claim_association(call, principal, &request, &mut audit).await;
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
        let prepared =
            match self.authorize_association(call, principal, &tenant, resource, request, &mut audit).await {
                Ok(permitted) => {
                    self.prepare_association(
                        (call, principal),
                        permitted,
                        expected.as_ref(),
                        validate_only,
                        &mut audit,
                    )
                    .await
                }
                Err(error) => Err(error),
            };
        match prepared {
            Ok(prepared) if validate_only => self.dry_run_association(call, principal, prepared, audit).await,
            Ok(prepared) => self.apply_association(call, prepared, reservation, audit).await,
            Err(error) => {
                audit.record_refusal(&self.ports, &error);
                Err(error)
            }
        }
    }

    /// Makes the change.
    async fn apply_association(
        &self,
        call: &Call,
        prepared: PreparedChange,
        reservation: Option<Reservation>,
        audit: AuditContext,
    ) -> Result<Changed, Error> {
        let PreparedChange { authorized, guard, mut prior } = prepared;
        let AssociateKmsKey { resource, key, requested_key, reason: _ } = authorized.command().clone();
        let change = Change {
            ports: Arc::clone(&self.ports),
            authorized,
            operation: Operation::AssociateKmsKey,
            audit,
            deadline: call.deadline,
            guard,
            observation: prior.observation.take(),
            reservation,
        };
        let location = resource.clone();
        let tell = move |aws_request_id, accepted| {
            prior.into_changed(location, Some((key, requested_key)), Some(accepted), accepted, aws_request_id)
        };
        change
            .execute(tell, |ports, authorized, deadline| async move {
                ports.associations.associate(&authorized, deadline).await
            })
            .await
            .map_err(|error| resolve::mask_as_not_found(error, &resource))
    }

    /// Whether the caller may make such a change at all, where, and whether it was made before.
    async fn resolve_and_claim_association(
        &self,
        call: &Call,
        principal: &Principal,
        request: &AssociateRequest,
        audit: &mut AuditContext,
    ) -> Result<(Arc<Tenant>, Resource, Admission), Error> {
        audit.requested(&request.key);
        audit.reason(request.reason.as_ref());
        require_scope(principal, Scope::Associate)?;
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
        let key = request.key.to_string();
        let (reason, expected) = (request.reason.as_ref(), request.expected.as_ref());
        let fingerprint =
            idempotency::fingerprint(Action::AssociateKmsKey, &resource, Some(&key), reason, expected);
        let claim = idempotency::boxed(self.claim(call, id, fingerprint)).await?;
        Ok((tenant, resource, claim))
    }

    /// Waits for the resource, and finds out what is in force.
    async fn prepare_association(
        &self,
        (call, principal): (&Call, &Principal),
        (authorized, guard): (Authorized<AssociateKmsKey>, Option<KeyGuard>),
        expected: Option<&ExpectedKey>,
        validate_only: bool,
        audit: &mut AuditContext,
    ) -> Result<PreparedChange, Error> {
        let AssociateKmsKey { resource, key, .. } = authorized.command();
        let access = authorized.access();
        let guard = self.lock_resource(guard, resource, call).await?;
        let need = if expected.is_some() { Requirement::Required } else { Requirement::BestEffort };
        let prior = self.load_prior_state((call, principal), access, resource, need, audit).await?;
        if let Some(expected) = expected {
            self.check_precondition(call, access, expected, prior.key(), audit).await?;
        }
        let prior =
            if validate_only { prior } else { self.with_former_health(call, access, prior, Some(key)).await };
        Ok(PreparedChange { authorized: Arc::new(authorized), guard, prior })
    }

    /// Everything but the change.
    async fn dry_run_association(
        &self,
        call: &Call,
        principal: &Principal,
        prepared: PreparedChange,
        mut audit: AuditContext,
    ) -> Result<Changed, Error> {
        let PreparedChange { authorized, prior, .. } = prepared;
        let AssociateKmsKey { resource, key, requested_key, reason: _ } = authorized.command().clone();
        let access = authorized.access();
        match self.run_dry_checks(call, principal, access, &resource, &requested_key, &mut audit).await {
            Ok(unchecked) => {
                audit.read(&self.ports);
                let now = self.ports.clock.now();
                let changed =
                    prior.into_changed(resource, Some((key, requested_key)), None, now, Box::default());
                Ok(dry_run::as_dry_run(changed, unchecked))
            }
            Err(error) => {
                audit.record_refusal(&self.ports, &error);
                Err(error)
            }
        }
    }

    async fn authorize_association(
        &self,
        call: &Call,
        principal: &Principal,
        tenant: &Arc<Tenant>,
        resource: Resource,
        request: AssociateRequest,
        audit: &mut AuditContext,
    ) -> Result<(Authorized<AssociateKmsKey>, Option<KeyGuard>), Error> {
        let AssociateRequest { key: requested_key, reason, .. } = request;
        let key = self.resolve(call, principal, tenant, &resource, &requested_key, audit).await?;
        resolve::check_region(&key, &resource)?;
        audit.resolved(&key);
        let requested = requested_key.clone();
        let command = AssociateKmsKey { resource: resource.clone(), key, requested_key, reason };
        let permitted = self.authorize_with_facts(call, principal, tenant, (command, &resource), audit).await;
        permitted.map_err(|error| resolve::redact_resolved_key(error, &requested))
    }

    /// The ARN of the key that is meant. Only an alias or a bare id has to be looked up, by whoever
    /// may see the target.
    async fn resolve(
        &self,
        call: &Call,
        principal: &Principal,
        tenant: &Arc<Tenant>,
        resource: &Resource,
        requested: &KmsKeyId,
        audit: &mut AuditContext,
    ) -> Result<KmsKeyArn, Error> {
        if let KmsKeyId::Arn(arn) = requested {
            return Ok(arn.clone());
        }
        let read = GetKeyAssociation { resource: resource.clone() };
        let permit = self.authorize(call, principal, tenant, read, audit)?;
        let described = self.ports.keys.describe(permit.access(), requested, call.deadline).await;
        audit.record_aws_call(described.via);
        let found = described.result.map_err(|error| super::read::read_error(error, call.deadline))?;
        let key = found.ok_or_else(|| Error::KeyNotFound {
            key: requested.clone(),
            location: resource.location.clone(),
        })?;
        Ok(key.arn)
    }
}
