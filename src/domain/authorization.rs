//! Requests to policy, their decisions, and the proof that policy allowed a command. The use cases obtain the
//! proof and pass it to the ports that act on AWS or read the audit log.

mod command;
mod facts;

use std::sync::Arc;

use thiserror::Error;

pub use self::{
    command::Command,
    facts::{PolicyFacts, PreviousKey, RequiredFacts},
};
use super::{
    arn::KmsKeyArn,
    association::{Location, Target},
    call::{Action, Call},
    fleet_kind::FleetKind,
    principal::Principal,
    tenant::{AccountGrant, Tenant, TenantId},
};

/// A request for a policy decision.
#[derive(Clone, Copy, Debug)]
pub struct AuthzRequest<'q> {
    /// The call, for its context.
    pub call: &'q Call,
    /// The caller.
    pub principal: &'q Principal,
    /// The caller's tenant.
    pub tenant: &'q Tenant,
    /// The action to authorize.
    pub action: Action,
    /// The resource of the action.
    pub about: ResourceScope<'q>,
    /// The key of the action, if it names one.
    pub key: Option<&'q KmsKeyArn>,
    /// Facts beyond the call that policies may require.
    pub facts: &'q PolicyFacts,
}

/// The resource of a policy request.
#[derive(Clone, Copy, Debug)]
pub enum ResourceScope<'q> {
    /// An account and Region, or something in it.
    Aws {
        /// The tenant's grant in the account.
        grant: &'q AccountGrant,
        /// The account and Region.
        location: &'q Location,
        /// The target. `None` is the location as a whole.
        target: Option<&'q Target>,
    },
    /// The audit log.
    AuditLog(LogScope),
    /// The caller's own tenant.
    Tenant,
    /// A whole account, in every Region.
    Account(&'q AccountGrant),
    /// A bulk job, an encryption rule, or coverage.
    Fleet(FleetResource<'q>),
}

/// An object of the fleet, for policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetResource<'q> {
    /// The kind of the object.
    pub kind: FleetKind,
    /// The tenant that owns the object. `None` is the objects of all tenants.
    pub owner: Option<&'q TenantId>,
    /// The id of the object. Empty if it does not exist yet, or for all objects of the owner.
    pub id: &'q str,
}

/// Which events of the audit log a caller may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogScope {
    /// The events of the caller's tenant.
    Own,
    /// The events of all tenants and of the service itself.
    All,
}

/// A policy decision with the policies that determined it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// At least one policy permits, none forbids, and none failed.
    Allow {
        /// The ids of the policies that permit.
        policies: Vec<Arc<str>>,
    },
    /// Every other result.
    Deny(Denial),
}

/// Why policy denied a request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Denial {
    /// No policy permits it. The service answers as if the resource did not exist.
    #[error("no policy permits the call")]
    NotPermitted,
    /// At least one policy forbids it.
    #[error("a policy forbids the call")]
    Forbidden {
        /// The ids of the policies that forbid.
        policies: Vec<Arc<str>>,
    },
    /// The evaluation of a policy failed, which denies the request.
    #[error("a policy could not be evaluated")]
    Undecided {
        /// The ids of the policies that failed.
        policies: Vec<Arc<str>>,
    },
}

/// Who asks for a decision, and in which call.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'c> {
    /// The call.
    pub call: &'c Call,
    /// The principal of its token.
    pub principal: &'c Principal,
}

/// A command that policy allowed.
///
/// The fields are private, and [`Authorized::decide`] and [`Authorized::decide_with`] are the only
/// constructors. No code can combine one tenant's credentials with another tenant's command, or act without a
/// decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorized<C> {
    access: Access,
    command: C,
    policies: Vec<Arc<str>>,
}

/// Permission to read the audit log. As in [`Authorized`], the fields are private and a policy decision is
/// the only way to get one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditAccess {
    tenant: TenantId,
    log_scope: LogScope,
    policies: Vec<Arc<str>>,
}

/// The access of an authorized command: its role, tenant, subject and location. Only [`Authorized`] creates
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    tenant: Arc<Tenant>,
    grant: Arc<AccountGrant>,
    location: Location,
    subject: Arc<str>,
}

// === impl AuthzRequest ===

impl<'q> AuthzRequest<'q> {
    /// The request for a command. `None` if the tenant is not the caller's, or has no grant for the command's
    /// location.
    fn about<C: Command>(
        command: &'q C,
        requester: Requester<'q>,
        tenant: &'q Tenant,
        facts: &'q PolicyFacts,
    ) -> Option<Self> {
        let Requester { call, principal } = requester;
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
    /// The ids of the policies that permit.
    ///
    /// # Errors
    ///
    /// The [`Denial`] of a denied request.
    pub fn allowed(self) -> Result<Vec<Arc<str>>, Denial> {
        match self {
            Self::Allow { policies } => Ok(policies),
            Self::Deny(denial) => Err(denial),
        }
    }
}

// === impl Authorized ===

impl<C: Command> Authorized<C> {
    /// Evaluates policy for this command and returns the command with the proof that policy allowed it.
    ///
    /// # Errors
    ///
    /// [`Denial`] if policy denies the command, if the tenant is not the caller's, or if the tenant has no
    /// grant for the command's location.
    pub fn decide(
        policy: impl FnOnce(&AuthzRequest<'_>) -> Decision,
        requester: Requester<'_>,
        tenant: &Arc<Tenant>,
        command: C,
    ) -> Result<Self, Denial> {
        Self::decide_with(&PolicyFacts::default(), policy, requester, tenant, command)
    }

    /// The facts that policy requires for a decision on this command. Empty if no fact can change the
    /// decision.
    #[must_use]
    pub fn required_facts(
        policy: impl FnOnce(&AuthzRequest<'_>) -> RequiredFacts,
        requester: Requester<'_>,
        tenant: &Tenant,
        command: &C,
    ) -> RequiredFacts {
        let facts = PolicyFacts::default();
        AuthzRequest::about(command, requester, tenant, &facts)
            .map(|request| policy(&request))
            .unwrap_or_default()
    }

    /// Does the same as [`Authorized::decide`], with the facts that policy requires.
    ///
    /// # Errors
    ///
    /// The errors of [`Authorized::decide`].
    pub fn decide_with(
        facts: &PolicyFacts,
        policy: impl FnOnce(&AuthzRequest<'_>) -> Decision,
        requester: Requester<'_>,
        tenant: &Arc<Tenant>,
        command: C,
    ) -> Result<Self, Denial> {
        let location = command.location();
        let request = AuthzRequest::about(&command, requester, tenant, facts).ok_or(Denial::NotPermitted)?;
        let grant = tenant.grant(location.account).ok_or(Denial::NotPermitted)?;
        let policies = policy(&request).allowed()?;
        let access = Access {
            tenant: Arc::clone(tenant),
            grant: Arc::clone(grant),
            location: location.clone(),
            subject: Arc::clone(requester.principal.responsible()),
        };
        Ok(Self { access, command, policies })
    }

    /// The allowed command.
    #[must_use]
    pub fn command(&self) -> &C {
        &self.command
    }

    /// The access that the decision gives.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The ids of the policies that permit.
    #[must_use]
    pub fn policies(&self) -> &[Arc<str>] {
        &self.policies
    }
}

// === impl AuditAccess ===

impl AuditAccess {
    /// Evaluates policy for the call's action on these events and returns the proof that policy allowed it.
    ///
    /// # Errors
    ///
    /// [`Denial`] if policy denies the action, or if the tenant is not the caller's.
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
        let request = AuthzRequest {
            call,
            principal,
            tenant,
            action: call.action,
            about,
            key: None,
            facts: &PolicyFacts::default(),
        };
        match policy(&request) {
            Decision::Allow { policies } => Ok(Self { tenant: tenant.id.clone(), log_scope, policies }),
            Decision::Deny(denial) => Err(denial),
        }
    }

    /// The tenant whose events may be read. `None` means the events of every tenant.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        match self.log_scope {
            LogScope::Own => Some(&self.tenant),
            LogScope::All => None,
        }
    }

    /// The ids of the policies that permit.
    #[must_use]
    pub fn policies(&self) -> &[Arc<str>] {
        &self.policies
    }
}

// === impl Access ===

impl Access {
    /// The tenant that the command acts for.
    #[must_use]
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// The grant, with the role and the external id to use.
    #[must_use]
    pub fn grant(&self) -> &Arc<AccountGrant> {
        &self.grant
    }

    /// The account and Region of the command.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The person for whom a program calls, or else the subject of the caller's token.
    #[must_use]
    pub fn subject(&self) -> &Arc<str> {
        &self.subject
    }
}
