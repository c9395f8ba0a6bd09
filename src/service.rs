//! The use cases, each a screen or two: find, decide, record the intent, wait for a turn, act, record
//! the outcome. They know the world only through [`Ports`].

mod access;
mod associate;
mod audit;
mod before;
mod caller;
mod change;
mod check;
mod diagnose;
mod disassociate;
mod error;
mod expect;
mod facts;
mod history;
mod list;
mod locate;
mod onboarding;
mod page;
mod read;
mod replay;
mod role;
mod serial;
mod settle;
mod trail;
mod usage;
mod validate;
mod verify;
mod warn;

use std::sync::Arc;

use tokio_util::task::TaskTracker;

pub use self::{
    audit::{
        AuditHead, AuditPorts, AuditReads, ConsistencyProof, EventBatch, EventPage, InclusionProof,
        ReadError, StreamLimits, Watched,
    },
    caller::CallerView,
    error::Error,
    list::Page,
    usage::{Usage, Verdict},
    warn::standing as warnings,
};
use crate::{
    domain::{
        association::{KeyAssociation, Resource, Warning},
        audit::EventId,
        authorization::{About, Authorized, Command, Decision, Denial, Facts, Question, Wants},
        call::Call,
        principal::{Principal, Scope},
        request::OwnId,
        tenant::Tenant,
    },
    ports::{
        AuditLog, Clock, InForce, KeepHistory, KeyAssociations, KeyHistory, Keys, LearnQuotas, LogGroups,
        OpenChanges, Pace, Queries, RequestRecords, Roles, Rules, TenantQuota,
    },
    service::{history::Seen, serial::Serial, trail::Trail, usage::Surveys},
};

/// Everything the use cases need from the world.
#[derive(Clone)]
pub struct Ports {
    /// Knows which tenants there are, and decides.
    pub rules: Arc<dyn Rules>,
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
    pub quotas: Arc<dyn LearnQuotas>,
    /// Gives out turns toward AWS.
    pub pace: Arc<dyn Pace>,
    /// Knows what is left of a tenant's limits.
    pub quota: Arc<dyn TenantQuota>,
    /// Keeps what happened.
    pub audit: Arc<dyn AuditLog>,
    /// Knows which key was when on what.
    pub history: Arc<dyn KeyHistory>,
    /// Keeps what was seen outside of a change.
    pub seen: Arc<dyn KeepHistory>,
    /// Remembers requests that came with an id of their own.
    pub requests: Arc<dyn RequestRecords>,
    /// Finds the changes whose end is not known.
    pub open: Arc<dyn OpenChanges>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The changes under way, which outlive their callers; whoever stops the service waits for them.
    pub tasks: TaskTracker,
}

/// Sets, removes and reads keys on behalf of tenants.
#[derive(Clone)]
pub struct KeyBroker {
    ports: Arc<Ports>,
    /// What the calls keep to; without it, what is in force when one looks.
    kept: Option<Arc<dyn InForce>>,
    /// One change of a resource at a time.
    serial: Arc<Serial<Resource>>,
    /// One request under an id at a time.
    requests: Arc<Serial<OwnId>>,
    /// One look back at a change at a time.
    settling: Arc<Serial<EventId>>,
    seen: Arc<Seen>,
    surveys: Arc<Surveys>,
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

impl std::fmt::Debug for Ports {
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
    pub fn new(ports: Ports) -> Self {
        let (serial, requests, settling) = (Arc::default(), Arc::default(), Arc::default());
        let (ports, kept) = (Arc::new(ports), None);
        Self { ports, kept, serial, requests, settling, seen: Arc::default(), surveys: Arc::default() }
    }

    /// The same, keeping to this: a call that looks twice sees the same, whatever is taken over in between.
    #[must_use]
    pub fn under(&self, in_force: &Arc<dyn InForce>) -> Self {
        Self { kept: Some(Arc::clone(in_force)), ..self.clone() }
    }

    fn in_force(&self) -> Arc<dyn InForce> {
        self.kept.clone().unwrap_or_else(|| self.ports.rules.in_force())
    }

    /// Policy's answer.
    fn decide(&self, question: &Question<'_>) -> Decision {
        self.in_force().policy().decide(question)
    }

    /// What policy has to be told first.
    fn wants(&self, question: &Question<'_>) -> Wants {
        self.in_force().policy().wants(question)
    }

    /// Records that a request was refused before it became a command: fields that cannot be used, a
    /// body that cannot be read.
    pub fn refused_at_the_edge(&self, call: &Call, who: &Principal, error: &Error) {
        Trail::new(&self.ports, call, who).refused(&self.ports, error);
    }

    /// The caller's tenant, if it may act at all.
    fn tenant(&self, who: &Principal) -> Result<Arc<Tenant>, Error> {
        let tenant = self.in_force().tenants().find(&who.tenant).ok_or(Error::TenantGone)?;
        // Also where that changed while the call's body came in, which its sender may draw out.
        let now = self.ports.rules.tenant_now(&who.tenant).ok_or(Error::TenantGone)?;
        if tenant.suspended || now.suspended { Err(Error::TenantSuspended) } else { Ok(tenant) }
    }

    /// Asks policy, and takes a no for what the caller may know of it.
    fn permit<C: Command + Clone>(
        &self,
        call: &Call,
        who: &Principal,
        tenant: &Arc<Tenant>,
        command: C,
        trail: &mut Trail,
    ) -> Result<Authorized<C>, Error> {
        self.permit_knowing(&Facts::default(), call, who, tenant, command, trail)
    }

    /// As `permit`, with what policy wanted to be told.
    fn permit_knowing<C: Command + Clone>(
        &self,
        facts: &Facts,
        call: &Call,
        who: &Principal,
        tenant: &Arc<Tenant>,
        command: C,
        trail: &mut Trail,
    ) -> Result<Authorized<C>, Error> {
        let asked = command.clone();
        let policy = |question: &Question<'_>| self.decide(question);
        match Authorized::decide_knowing(facts, policy, call, who, tenant, command) {
            Ok(permit) => {
                trail.allowed(permit.policies());
                self.ports.quotas.learn(permit.access());
                Ok(permit)
            }
            Err(denial) => {
                trail.denied(&denial);
                Err(denied(denial, tenant, &asked))
            }
        }
    }
}

impl KeyBroker {
    /// Asks policy about something that needs no permit, since nothing is done with it in AWS.
    fn allow(
        &self,
        call: &Call,
        who: &Principal,
        tenant: &Tenant,
        about: About<'_>,
        trail: &mut Trail,
    ) -> Result<(), Error> {
        let (action, facts) = (call.action, &Facts::default());
        let question = Question { call, principal: who, tenant, action, about, key: None, facts };
        match self.decide(&question).allowed() {
            Ok(policies) => {
                trail.allowed(&policies);
                Ok(())
            }
            Err(denial) => {
                trail.denied(&denial);
                Err(locate::withheld(denial, about))
            }
        }
    }
}

fn denied<C: Command>(denial: Denial, tenant: &Tenant, asked: &C) -> Error {
    locate::denied(denial, tenant, asked.place(), asked.target(), asked.key())
}

/// Whether the token allows this kind of act.
fn require(who: &Principal, scope: Scope) -> Result<(), Error> {
    if who.scopes.contains(scope) { Ok(()) } else { Err(Error::ScopeMissing(scope)) }
}

#[cfg(test)]
mod tests;
