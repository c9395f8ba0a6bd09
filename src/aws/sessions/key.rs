//! The key of the session cache.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::{
    aws::{
        config::SessionTagging,
        session_name::SessionName,
        session_policy::{SessionPolicy, SessionScope},
        sts::assume_role::AssumeRoleInput,
    },
    domain::{
        authorization::Access,
        tenant::{AccountGrant, TenantId, Tenants},
    },
};

/// Identifies a session: the tenant, its grant in the account (the role, the external id and the patterns of
/// the session policy), the scope, and the caller's subject if sessions carry the caller's name.
#[derive(Clone)]
pub(in crate::aws) struct SessionKey {
    pub(super) tenant: TenantId,
    pub(super) grant: Arc<AccountGrant>,
    pub(super) scope: SessionScope,
    pub(super) subject: Option<Arc<str>>,
}

// === impl SessionKey ===

impl SessionKey {
    /// The key of the session for this access and scope.
    pub(in crate::aws) fn of(access: &Access, scope: SessionScope, attribution: SessionTagging) -> Self {
        let subject = match attribution {
            SessionTagging::Tenant => None,
            SessionTagging::Subject => Some(Arc::clone(access.subject())),
        };
        Self { tenant: access.tenant().id.clone(), grant: Arc::clone(access.grant()), scope, subject }
    }

    /// The tenant whose session it is.
    pub(in crate::aws) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub(super) fn assume_role_input(&self) -> AssumeRoleInput {
        let policy = SessionPolicy::of(&self.grant, self.scope);
        if !policy.exact {
            tracing::warn!(
                tenant = %self.tenant,
                aws.role = %self.grant.role,
                "the granted patterns do not fit into a session policy, so the session is wider than the grant",
            );
        }
        AssumeRoleInput {
            tenant: self.tenant.clone(),
            role: self.grant.role.clone(),
            external_id: self.grant.external_id.clone(),
            name: SessionName::of(&self.tenant, self.subject.as_deref()),
            attributed: self.subject.is_some(),
            policy: policy.json.into(),
            short_policy: SessionPolicy::shortest(&self.grant, self.scope).into(),
        }
    }

    /// Whether the tenant exists, is not suspended, and still has exactly this grant.
    pub(super) fn is_valid_in(&self, tenants: &Tenants) -> bool {
        let tenant = tenants.find(&self.tenant).filter(|tenant| !tenant.suspended);
        tenant.and_then(|tenant| tenant.grant(self.grant.account)).is_some_and(|grant| *grant == self.grant)
    }
}

impl PartialEq for SessionKey {
    fn eq(&self, other: &Self) -> bool {
        let Self { tenant, grant, scope, subject } = self;
        *tenant == other.tenant
            && *scope == other.scope
            && *subject == other.subject
            && (Arc::ptr_eq(grant, &other.grant) || *grant == other.grant)
    }
}

impl Eq for SessionKey {}

impl Hash for SessionKey {
    /// Hashes only the short fields; [`PartialEq`] compares all of them.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tenant.hash(state);
        self.grant.role.hash(state);
        self.grant.external_id.hash(state);
        self.scope.hash(state);
        self.subject.hash(state);
    }
}
