//! Policy's answer, and the proof that it was yes.

mod command;
mod facts;

use std::sync::Arc;

use thiserror::Error;

pub use self::facts::{PolicyFacts, PreviousKey, RequiredFacts};
use super::{
    arn::KmsKeyArn,
    association::{Location, Target},
    call::{Action, Call},
    principal::Principal,
    tenant::{AccountGrant, Tenant, TenantId},
};

/// What policy is asked.
#[derive(Clone, Copy, Debug)]
pub struct AuthzRequest<'q> {
    /// The circumstances of the call.
    pub call: &'q Call,
    /// Who.
    pub principal: &'q Principal,
    /// For which tenant.
    pub tenant: &'q Tenant,
    /// Does what.
    pub action: Action,
    /// With what.
    pub about: ResourceScope<'q>,
    /// With which key.
    pub key: Option<&'q KmsKeyArn>,
    /// What else is known.
    pub facts: &'q PolicyFacts,
}

/// What a question is about.
#[derive(Clone, Copy, Debug)]
pub enum ResourceScope<'q> {
    /// An account and Region, or something in it.
    Aws {
        /// What the tenant was granted in the account.
        grant: &'q AccountGrant,
        /// Where.
        location: &'q Location,
        /// To what; none where the whole place is meant.
        target: Option<&'q Target>,
    },
    /// The audit log.
    AuditLog(LogScope),
    /// The caller's own tenant.
    Tenant,
    /// A whole account, whatever the Region.
    Account(&'q AccountGrant),
}

/// Whose events of the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogScope {
    /// The tenant's own.
    Own,
    /// Those of all tenants, and of none.
    All,
}

/// What policy said, and which policies made it say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// At least one permit, no forbid, no evaluation error.
    Allow {
        /// The ids of the policies that permit.
        policies: Vec<Arc<str>>,
    },
    /// Everything else.
    Deny(Denial),
}

/// Why policy said no.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Denial {
    /// No policy permits: to the caller the thing does not exist.
    #[error("no policy permits the call")]
    NotPermitted,
    /// A policy forbids.
    #[error("a policy forbids the call")]
    Forbidden {
        /// The ids of the policies that forbid.
        policies: Vec<Arc<str>>,
    },
    /// A policy could not be evaluated, which counts as no.
    #[error("a policy could not be evaluated")]
    Undecided {
        /// The ids of the policies that failed.
        policies: Vec<Arc<str>>,
    },
}

/// Something that policy can be asked about, and that needs a permit to be done.
pub trait Command {
    /// Which RPC.
    fn action(&self) -> Action;
    /// Where.
    fn location(&self) -> &Location;
    /// To what.
    fn target(&self) -> Option<&Target>;
    /// With which key.
    fn key(&self) -> Option<&KmsKeyArn>;
}

/// A command that policy allowed.
///
/// The fields are private and [`Authorized::decide`] is the only constructor, so that no code can
/// pair one tenant's credentials with another's command, or act without a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorized<C> {
    access: Access,
    command: C,
    policies: Vec<Arc<str>>,
}

/// Leave to read the audit log, as policy gave it. The fields are private as those of [`Authorized`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditAccess {
    tenant: TenantId,
    log_scope: LogScope,
    policies: Vec<Arc<str>>,
}

/// What a permit opens: through which role, for whom, where. Only a permit has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    tenant: Arc<Tenant>,
    grant: Arc<AccountGrant>,
    location: Location,
    subject: Arc<str>,
}

// === impl Question ===

impl<'q> AuthzRequest<'q> {
    /// The question about a command; none where the tenant is not the caller's own, or has no grant
    /// for the command's place.
    fn about<C: Command>(
        command: &'q C,
        call: &'q Call,
        principal: &'q Principal,
        tenant: &'q Tenant,
        facts: &'q PolicyFacts,
    ) -> Option<Self> {
        let location = command.location();
        let grant = tenant
            .grant(location.account)
            .filter(|grant| grant.allows_region(&location.region) && tenant.id == principal.tenant)?;
        let about = ResourceScope::Aws { grant, location, target: command.target() };
        Some(Self { call, principal, tenant, action: command.action(), about, key: command.key(), facts })
    }
}

// === impl Decision ===

impl Decision {
    /// The policies that permit.
    ///
    /// # Errors
    ///
    /// [`Denial`].
    pub fn allowed(self) -> Result<Vec<Arc<str>>, Denial> {
        match self {
            Self::Allow { policies } => Ok(policies),
            Self::Deny(denial) => Err(denial),
        }
    }
}

// === impl Authorized ===

impl<C: Command> Authorized<C> {
    /// Asks policy about exactly this command and keeps the proof that it said yes.
    ///
    /// # Errors
    ///
    /// [`Denial`] for every other answer, and where the grant is not the tenant's own or does not
    /// cover the command's place.
    pub fn decide(
        policy: impl FnOnce(&AuthzRequest<'_>) -> Decision,
        call: &Call,
        principal: &Principal,
        tenant: &Arc<Tenant>,
        command: C,
    ) -> Result<Self, Denial> {
        Self::decide_with(&PolicyFacts::default(), policy, call, principal, tenant, command)
    }

    /// What policy wants to be told before it is asked about this command; nothing where the answer is
    /// no whatever it is told.
    #[must_use]
    pub fn required_facts(
        policy: impl FnOnce(&AuthzRequest<'_>) -> RequiredFacts,
        call: &Call,
        principal: &Principal,
        tenant: &Tenant,
        command: &C,
    ) -> RequiredFacts {
        let facts = PolicyFacts::default();
        AuthzRequest::about(command, call, principal, tenant, &facts)
            .map(|question| policy(&question))
            .unwrap_or_default()
    }

    /// As [`Authorized::decide`], with what policy was found to want.
    ///
    /// # Errors
    ///
    /// As [`Authorized::decide`].
    pub fn decide_with(
        facts: &PolicyFacts,
        policy: impl FnOnce(&AuthzRequest<'_>) -> Decision,
        call: &Call,
        principal: &Principal,
        tenant: &Arc<Tenant>,
        command: C,
    ) -> Result<Self, Denial> {
        let location = command.location();
        let question =
            AuthzRequest::about(&command, call, principal, tenant, facts).ok_or(Denial::NotPermitted)?;
        let grant = tenant.grant(location.account).ok_or(Denial::NotPermitted)?;
        let policies = policy(&question).allowed()?;
        let access = Access {
            tenant: Arc::clone(tenant),
            grant: Arc::clone(grant),
            location: location.clone(),
            subject: Arc::clone(&principal.subject),
        };
        Ok(Self { access, command, policies })
    }

    /// What was allowed.
    #[must_use]
    pub fn command(&self) -> &C {
        &self.command
    }

    /// What that opens.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The policies that said yes.
    #[must_use]
    pub fn policies(&self) -> &[Arc<str>] {
        &self.policies
    }
}

// === impl AuditAccess ===

impl AuditAccess {
    /// Asks policy whether the caller may do this with these events, and keeps the proof that it said
    /// yes.
    ///
    /// # Errors
    ///
    /// [`Denial`] for every other answer, and where the tenant is not the caller's own.
    pub fn decide(
        policy: impl FnOnce(&AuthzRequest<'_>) -> Decision,
        call: &Call,
        principal: &Principal,
        tenant: &Tenant,
        log_scope: LogScope,
    ) -> Result<Self, Denial> {
        if tenant.id != principal.tenant {
            return Err(Denial::NotPermitted);
        }
        let about = ResourceScope::AuditLog(log_scope);
        let question = AuthzRequest {
            call,
            principal,
            tenant,
            action: call.action,
            about,
            key: None,
            facts: &PolicyFacts::default(),
        };
        match policy(&question) {
            Decision::Allow { policies } => Ok(Self { tenant: tenant.id.clone(), log_scope, policies }),
            Decision::Deny(denial) => Err(denial),
        }
    }

    /// The one tenant whose events stand open; none where all do.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        match self.log_scope {
            LogScope::Own => Some(&self.tenant),
            LogScope::All => None,
        }
    }

    /// The policies that said yes.
    #[must_use]
    pub fn policies(&self) -> &[Arc<str>] {
        &self.policies
    }
}

// === impl Access ===

impl Access {
    /// For which tenant.
    #[must_use]
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// Through which role, with which external id.
    #[must_use]
    pub fn grant(&self) -> &Arc<AccountGrant> {
        &self.grant
    }

    /// Where.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// On whose behalf.
    #[must_use]
    pub fn subject(&self) -> &Arc<str> {
        &self.subject
    }
}
