//! The use cases, each a screen or two: find, decide, record the intent, wait for a turn, act, record
//! the outcome. They know the world only through [`Ports`].

mod access_test;
mod associate;
mod audit_context;
mod audit_query;
mod check;
mod disassociate;
mod dry_run;
mod error;
mod execute_change;
mod explain;
mod idempotency;
mod keyed_mutex;
mod list;
mod observation_buffer;
mod onboarding;
mod page_token;
mod policy_facts;
mod precondition;
mod prior_state;
mod query_results_probe;
mod read;
mod reconcile;
mod resolve;
mod role_check;
mod usage;
mod warnings;
mod whoami;

use std::sync::Arc;

use tokio_util::task::TaskTracker;

pub use self::{
    audit_query::{
        AuditHead, AuditPorts, AuditQueries, ConsistencyProof, EventBatch, EventPage, EventStream,
        InclusionProof, ReadError, StreamLimits,
    },
    error::Error,
    list::Page,
    usage::{Usage, Verdict},
    warnings::current_warnings as warnings,
    whoami::Whoami,
};
use crate::{
    domain::{
        association::{KeyAssociation, Resource, Warning},
        audit::EventId,
        authorization::{
            Authorized, AuthzRequest, Command, Decision, Denial, PolicyFacts, RequiredFacts, ResourceScope,
        },
        call::Call,
        idempotency::IdempotencyKey,
        principal::{Principal, Scope},
        tenant::Tenant,
    },
    ports::{
        AuditLog, Clock, ConfigSnapshot, IdempotencyStore, KeyAssociations, KeyHistoryReader,
        KeyHistoryWriter, Keys, LogGroups, PendingChanges, Queries, QuotaDiscovery, Roles, SnapshotSource,
        TenantQuota, UpstreamLimiter,
    },
    service::{
        audit_context::AuditContext, keyed_mutex::KeyedMutex, observation_buffer::ObservationBuffer,
        usage::ScanRegistry,
    },
};

/// Everything the use cases need from the world.
#[derive(Clone)]
pub struct Dependencies {
    /// Knows which tenants there are, and decides.
    pub rules: Arc<dyn SnapshotSource>,
    /// Sets keys and takes them away.
    pub associations: Arc<dyn KeyAssociations>,
    /// Reads log groups.
    pub log_groups: Arc<dyn LogGroups>,
    /// Reads keys.
    pub keys: Arc<dyn Keys>,
    /// Runs queries.
    pub queries: Arc<dyn Queries>,
    /// Knows the roles themselves.
    pub roles: Arc<dyn Roles>,
    /// Learns what AWS grants the places that are called.
    pub quotas: Arc<dyn QuotaDiscovery>,
    /// Gives out turns toward AWS.
    pub limiter: Arc<dyn UpstreamLimiter>,
    /// Knows what is left of a tenant's limits.
    pub quota: Arc<dyn TenantQuota>,
    /// Keeps what happened.
    pub audit: Arc<dyn AuditLog>,
    /// Knows which key was when on what.
    pub history: Arc<dyn KeyHistoryReader>,
    /// Keeps what was seen outside of a change.
    pub observations: Arc<dyn KeyHistoryWriter>,
    /// Remembers requests that came with an id of their own.
    pub requests: Arc<dyn IdempotencyStore>,
    /// Finds the changes whose end is not known.
    pub open: Arc<dyn PendingChanges>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The changes under way, which outlive their callers; whoever stops the service waits for them.
    pub tasks: TaskTracker,
}

/// Sets, removes and reads keys on behalf of tenants.
#[derive(Clone)]
pub struct KeyBroker {
    ports: Arc<Dependencies>,
    /// What the calls keep to; without it, what is in force when one looks.
    pinned: Option<Arc<dyn ConfigSnapshot>>,
    /// One change of a resource at a time.
    serial: Arc<KeyedMutex<Resource>>,
    /// One request under an id at a time.
    requests: Arc<KeyedMutex<IdempotencyKey>>,
    /// One look back at a change at a time.
    reconciling: Arc<KeyedMutex<EventId>>,
    observations: Arc<ObservationBuffer>,
    scans: Arc<ScanRegistry>,
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The association as it is from now on.
    pub association: KeyAssociation,
    /// The event that holds the outcome; none where nothing was to be changed.
    pub event: Option<EventId>,
    /// AWS's id of the call.
    pub aws_request_id: Box<str>,
    /// What the caller should know.
    pub warnings: Vec<Warning>,
}

// === impl Ports ===

impl std::fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for KeyBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyBroker").finish_non_exhaustive()
    }
}

// === impl KeyBroker ===

impl KeyBroker {
    /// A broker over these ports.
    #[must_use]
    pub fn new(ports: Dependencies) -> Self {
        let (serial, requests, reconciling) = (Arc::default(), Arc::default(), Arc::default());
        let (ports, pinned) = (Arc::new(ports), None);
        Self {
            ports,
            pinned,
            serial,
            requests,
            reconciling,
            observations: Arc::default(),
            scans: Arc::default(),
        }
    }

    /// The same, keeping to this: a call that looks twice sees the same, whatever is taken over in between.
    #[must_use]
    pub fn pinned_to(&self, in_force: &Arc<dyn ConfigSnapshot>) -> Self {
        Self { pinned: Some(Arc::clone(in_force)), ..self.clone() }
    }

    fn snapshot(&self) -> Arc<dyn ConfigSnapshot> {
        self.pinned.clone().unwrap_or_else(|| self.ports.rules.current())
    }

    /// Policy's answer.
    fn decide(&self, question: &AuthzRequest<'_>) -> Decision {
        self.snapshot().policy().decide(question)
    }

    /// What policy has to be told first.
    fn required_facts(&self, question: &AuthzRequest<'_>) -> RequiredFacts {
        self.snapshot().policy().required_facts(question)
    }

    /// Records that a request was refused before it became a command: fields that cannot be used, a
    /// body that cannot be read.
    pub fn record_rejected(&self, call: &Call, principal: &Principal, error: &Error) {
        AuditContext::new(&self.ports, call, principal).record_refusal(&self.ports, error);
    }

    /// The caller's tenant, if it may act at all.
    fn tenant(&self, principal: &Principal) -> Result<Arc<Tenant>, Error> {
        let tenant = self.snapshot().tenants().find(&principal.tenant).ok_or(Error::TenantRemoved)?;
        // Also where that changed while the call's body came in, which its sender may draw out.
        let now = self.ports.rules.current_tenant(&principal.tenant).ok_or(Error::TenantRemoved)?;
        if tenant.suspended || now.suspended { Err(Error::TenantSuspended) } else { Ok(tenant) }
    }

    /// Asks policy, and takes a no for what the caller may know of it.
    fn authorize<C: Command + Clone>(
        &self,
        call: &Call,
        principal: &Principal,
        tenant: &Arc<Tenant>,
        command: C,
        audit: &mut AuditContext,
    ) -> Result<Authorized<C>, Error> {
        self.authorize_with(&PolicyFacts::default(), call, principal, tenant, command, audit)
    }

    /// As `permit`, with what policy wanted to be told.
    fn authorize_with<C: Command + Clone>(
        &self,
        facts: &PolicyFacts,
        call: &Call,
        principal: &Principal,
        tenant: &Arc<Tenant>,
        command: C,
        audit: &mut AuditContext,
    ) -> Result<Authorized<C>, Error> {
        let requested = command.clone();
        let policy = |question: &AuthzRequest<'_>| self.decide(question);
        match Authorized::decide_with(facts, policy, call, principal, tenant, command) {
            Ok(permit) => {
                audit.allowed(permit.policies());
                self.ports.quotas.refresh_in_background(permit.access());
                Ok(permit)
            }
            Err(denial) => {
                audit.denied(&denial);
                Err(denial_error(denial, tenant, &requested))
            }
        }
    }
}

impl KeyBroker {
    /// Asks policy about something that needs no permit, since nothing is done with it in AWS.
    fn authorize_scope(
        &self,
        call: &Call,
        principal: &Principal,
        tenant: &Tenant,
        about: ResourceScope<'_>,
        audit: &mut AuditContext,
    ) -> Result<(), Error> {
        let (action, facts) = (call.action, &PolicyFacts::default());
        let question = AuthzRequest { call, principal, tenant, action, about, key: None, facts };
        match self.decide(&question).allowed() {
            Ok(policies) => {
                audit.allowed(&policies);
                Ok(())
            }
            Err(denial) => {
                audit.denied(&denial);
                Err(resolve::mask_denial(denial, about))
            }
        }
    }
}

fn denial_error<C: Command>(denial: Denial, tenant: &Tenant, command: &C) -> Error {
    resolve::mask_command_denial(denial, tenant, command.location(), command.target(), command.key())
}

/// Whether the token allows this kind of act.
fn require_scope(principal: &Principal, scope: Scope) -> Result<(), Error> {
    if principal.scopes.contains(scope) { Ok(()) } else { Err(Error::ScopeMissing(scope)) }
}

#[cfg(test)]
mod tests;
