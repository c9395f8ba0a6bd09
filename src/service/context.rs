//! What every use case needs: the call, its caller, its configuration snapshot and its audit event.
//! The gRPC handlers create it, and reconciliation creates it for the service's own reads.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    audit::error::ReadError,
    error::{AccessError, Error, StorageError},
    shared::{audit_context::AuditContext, job_gate::JobGate, lease::Lease, resolve},
    state::{Dependencies, ServiceState},
};
use crate::{
    domain::{
        association::{GetKeyAssociation, Resource},
        authorization::{
            Authorized, AuthzRequest, Command, Decision, PolicyFacts, Requester, RequiredFacts, ResourceScope,
        },
        call::Call,
        fleet::JobId,
        principal::{Principal, Scope},
        tenant::Tenant,
    },
    ports::{Authenticate, AuthnError, ConfigSnapshot, StreamToken, Unavailable, limit::Priority},
    spans,
};

/// How long a stream waits for its turn to read the store.
const STREAM_TURN_TIMEOUT: Duration = Duration::from_mins(1);
/// How long one read of the archive may take.
const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// One call, its caller, and the snapshot and audit event that belong to it.
#[derive(Clone)]
pub struct Context {
    pub(super) state: Arc<ServiceState>,
    pub(super) call: Arc<Call>,
    pub(super) caller: Arc<Principal>,
    /// The audit event of the call. The use case fills it step by step.
    pub(super) audit: AuditContext,
    snapshot: Arc<dyn ConfigSnapshot>,
    tenant: Option<Arc<Tenant>>,
    /// The lease of the bulk job that the call belongs to.
    lease: Option<Arc<Lease>>,
    /// Whether the bulk job may send the change, if the call is one.
    gate: Option<Arc<JobGate>>,
    /// The caller's token, if the call opens a stream.
    token: Option<StreamToken>,
}

// === impl Context ===

impl Context {
    /// Creates a context with this snapshot. A call that reads the configuration twice gets the same
    /// values, even if a reload happens in between.
    #[must_use]
    pub fn new(
        state: Arc<ServiceState>,
        snapshot: Arc<dyn ConfigSnapshot>,
        call: Arc<Call>,
        caller: Arc<Principal>,
    ) -> Self {
        let audit = AuditContext::new(&state.ports, &call, &caller);
        Self { state, call, caller, audit, snapshot, tenant: None, lease: None, gate: None, token: None }
    }

    /// The same call with the token that opens its stream.
    #[must_use]
    pub fn with_token(self, token: Option<StreamToken>) -> Self {
        Self { token, ..self }
    }

    /// Creates a context with the current snapshot.
    #[must_use]
    pub fn current(state: &Arc<ServiceState>, call: Arc<Call>, caller: Arc<Principal>) -> Self {
        Self::new(Arc::clone(state), state.ports.rules.current(), call, caller)
    }

    /// The same call as a part of a bulk job: interactive calls come first, and nothing is sent after the lease.
    pub(super) fn of_job(mut self, job: JobId, lease: Arc<Lease>) -> Self {
        self.audit.job(job);
        Self { lease: Some(lease), ..self }
    }

    /// The same call as a change of a job that can stop before the change is sent.
    pub(super) fn gated(self, gate: JobGate) -> Self {
        Self { gate: Some(Arc::new(gate)), ..self }
    }

    /// Whether the change may be sent. `None` if no job can stop it.
    pub(super) fn gate(&self) -> Option<&JobGate> {
        self.gate.as_deref()
    }

    /// The same call with no caller that waits for it: interactive calls come first.
    pub(super) fn in_background(self) -> Self {
        Self { lease: Some(Arc::new(Lease::unlimited())), ..self }
    }

    /// Whether a caller waits for the call.
    pub(super) fn priority(&self) -> Priority {
        if self.lease.is_some() { Priority::Bulk } else { Priority::Interactive }
    }

    /// Until when the intent of a change may become durable. After the end of a lease another process decides
    /// whether to make the change.
    pub(super) fn intent_deadline(&self) -> Instant {
        let lease = self.lease.as_ref().and_then(|lease| lease.valid_until());
        lease.map_or(self.call.deadline, |until| until.min(self.call.deadline))
    }

    /// The same call with the current snapshot, if its token would still open it: the token is verified again
    /// with the current issuers, keys and tenants. For streams, which outlive all of them.
    pub(super) async fn reverified(&self) -> Result<Self, Error> {
        let snapshot = self.ports().rules.current();
        let mut caller = Arc::clone(&self.caller);
        if let Some(StreamToken { unverified_token, certificate }) = &self.token {
            let verified = snapshot.authn().authenticate(unverified_token, certificate.as_ref()).await;
            let verified = verified.map_err(|error| match error {
                AuthnError::Expired { .. } => ReadError::TokenExpired,
                AuthnError::Refused { .. } => ReadError::TokenInvalid,
                AuthnError::Unavailable { .. } => ReadError::TokenNotVerifiable,
            })?;
            caller = self.with_same_delegation(verified, snapshot.authn())?;
            if caller.tenant != self.caller.tenant {
                return Err(ReadError::TokenInvalid.into());
            }
        }
        Ok(Self { snapshot, caller, tenant: None, ..self.clone() })
    }

    /// The caller with the person for whom it opened the stream, if its issuer may still name that person.
    fn with_same_delegation(
        &self,
        verified: Arc<Principal>,
        authn: &dyn Authenticate,
    ) -> Result<Arc<Principal>, ReadError> {
        match (&self.caller.delegation, &verified.delegation) {
            (opened, now) if opened == now => Ok(verified),
            (Some(asserted), None) if authn.may_assert_user(&verified.issuer) => {
                let delegation = Some(asserted.clone());
                Ok(Arc::new(Principal { delegation, ..Principal::clone(&verified) }))
            }
            (Some(_) | None, _) => Err(ReadError::TokenInvalid),
        }
    }

    pub(super) fn ports(&self) -> &Dependencies {
        &self.state.ports
    }

    /// Fails unless the caller's token has the scope.
    pub(super) fn require(&self, scope: Scope) -> Result<(), Error> {
        if self.caller.scopes.contains(scope) {
            Ok(())
        } else {
            Err(Error::Access(AccessError::ScopeMissing(scope)))
        }
    }

    /// The caller's tenant. Fails if the tenant is suspended or removed, in the snapshot or since.
    pub(super) fn tenant(&mut self) -> Result<Arc<Tenant>, Error> {
        if let Some(tenant) = &self.tenant {
            return Ok(Arc::clone(tenant));
        }
        let id = &self.caller.tenant;
        let tenant = self.snapshot.tenants().find(id).ok_or(Error::Access(AccessError::TenantRemoved))?;
        // A client can send its body slowly, so a suspension since the snapshot counts too.
        let current =
            self.ports().rules.current_tenant(id).ok_or(Error::Access(AccessError::TenantRemoved))?;
        if tenant.suspended || current.suspended {
            return Err(Error::Access(AccessError::TenantSuspended));
        }
        self.tenant = Some(Arc::clone(&tenant));
        Ok(tenant)
    }

    /// Every tenant of the snapshot.
    pub(super) fn tenants(&self) -> Vec<Arc<Tenant>> {
        self.snapshot.tenants().all()
    }

    /// The decision of the snapshot's policies.
    pub(super) fn decide(&self, request: &AuthzRequest<'_>) -> Decision {
        self.snapshot.policy().decide(request)
    }

    /// The facts that policies require before they can decide about `command`.
    pub(super) fn required_facts<C: Command>(&self, tenant: &Tenant, command: &C) -> RequiredFacts {
        let policy = |request: &AuthzRequest<'_>| self.snapshot.policy().required_facts(request);
        Authorized::required_facts(policy, self.requester(), tenant, command)
    }

    /// Authorizes `command` without policy facts. The error of a denial reveals only what the caller may
    /// see.
    pub(super) fn authorize<C: Command + Clone>(&mut self, command: C) -> Result<Authorized<C>, Error> {
        self.authorize_with(&PolicyFacts::default(), command)
    }

    /// Authorizes `command` with the facts that policies require.
    pub(super) fn authorize_with<C: Command + Clone>(
        &mut self,
        facts: &PolicyFacts,
        command: C,
    ) -> Result<Authorized<C>, Error> {
        let tenant = self.tenant()?;
        let requested = command.clone();
        match spans::step("policy").in_scope(|| self.decide_command(facts, &tenant, command)) {
            Ok(authorized) => {
                self.audit.allowed(authorized.policies());
                self.ports().quotas.refresh_in_background(authorized.access());
                Ok(authorized)
            }
            Err(denial) => {
                self.audit.denied(&denial);
                let (location, target, key) = (requested.location(), requested.target(), requested.key());
                Err(resolve::mask_command_denial(denial, &tenant, location, target, key))
            }
        }
    }

    fn requester(&self) -> Requester<'_> {
        Requester { call: &self.call, principal: &self.caller }
    }

    /// The decision about `command`. The audit event does not get it.
    pub(super) fn decide_command<C: Command>(
        &self,
        facts: &PolicyFacts,
        tenant: &Arc<Tenant>,
        command: C,
    ) -> Result<Authorized<C>, crate::domain::authorization::Denial> {
        let policy = |request: &AuthzRequest<'_>| self.decide(request);
        Authorized::decide_with(facts, policy, self.requester(), tenant, command)
    }

    /// Authorizes a read that has no command, because it does nothing in AWS.
    pub(super) fn authorize_scope(&mut self, tenant: &Tenant, scope: ResourceScope<'_>) -> Result<(), Error> {
        let facts = &PolicyFacts::default();
        let (call, principal) = (&*self.call, &*self.caller);
        let (action, about) = (call.action, scope);
        let request = AuthzRequest { call, principal, tenant, action, about, key: None, facts };
        match spans::step("policy").in_scope(|| self.decide(&request)).allowed() {
            Ok(policies) => {
                self.audit.allowed(&policies);
                Ok(())
            }
            Err(denial) => {
                self.audit.denied(&denial);
                Err(resolve::mask_denial(denial, scope))
            }
        }
    }

    /// Whether policy lets the caller read `resource`. Lists are filtered with it, because AWS cannot
    /// restrict a list to the granted names.
    pub(super) fn can_read(&self, tenant: &Arc<Tenant>, resource: &Resource) -> bool {
        let command = GetKeyAssociation { resource: resource.clone() };
        self.decide_command(&PolicyFacts::default(), tenant, command).is_ok()
    }

    /// Runs a short read or write of the store when the caller's tenant has its turn.
    pub(super) async fn in_turn<T>(
        &self,
        access: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Error> {
        let _turn = self.state.short_reads.begin(&self.caller.tenant, self.turn_deadline()).await?;
        access.await.map_err(|error| StorageError::RecordUnavailable(error).into())
    }

    /// The same for a read that can be long.
    pub(super) async fn in_long_turn<T>(
        &self,
        read: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Error> {
        let _turn = self.state.reads.begin(&self.caller.tenant, self.turn_deadline()).await?;
        read.await.map_err(|error| StorageError::RecordUnavailable(error).into())
    }

    /// The same for a read of the archive of the audit log. It does not wait for an archive that does not respond.
    pub(super) async fn in_archive_turn<T>(
        &self,
        read: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Error> {
        let _turn = self.state.archive_reads.begin(&self.caller.tenant, self.turn_deadline()).await?;
        let read = tokio::time::timeout(ARCHIVE_TIMEOUT, read).await;
        let late = |_elapsed| {
            let waited = format!("no response within {} s", ARCHIVE_TIMEOUT.as_secs());
            Err(Unavailable { dependency: "archive", source: Some(waited.into()) })
        };
        read.unwrap_or_else(late).map_err(|error| StorageError::ArchiveUnavailable(error).into())
    }

    /// Until when the caller waits for its turn. A stream outlives the deadline of its call.
    fn turn_deadline(&self) -> Instant {
        let now = tokio::time::Instant::now().into_std();
        let own = self.call.deadline;
        if own > now { own } else { now + STREAM_TURN_TIMEOUT }
    }

    /// Records the end of a use case that changes nothing, and returns its result.
    pub(super) fn record_read<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(_) => self.audit.read(self.ports()),
            Err(error) => self.record_refusal(error),
        }
        result
    }

    /// Records a refusal if the result is an error, and returns the result.
    pub(super) fn record_error<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| self.record_refusal(error))
    }

    /// Records that the call was refused before it changed anything. The handlers call it for a request
    /// that cannot be parsed.
    pub fn record_refusal(&self, error: &Error) {
        self.audit.record_refusal(self.ports(), error);
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("call", &self.call).finish_non_exhaustive()
    }
}
