//! Tenants, policies and issuers that are in force: one generation, swapped whole by a reload.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    auth::{CedarPolicy, JwtAuthn},
    domain::tenant::{Tenant, TenantId, Tenants},
    ports::{Authenticate, Authorize, InForce, Rules, TenantDirectory},
};

/// What belongs together: rules made for other tenants, or tenants whose issuers are not known, would
/// decide wrongly.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) tenants: Arc<Directory>,
    pub(super) policy: CedarPolicy,
    pub(super) authn: JwtAuthn,
}

/// The tenants of one generation, as a port.
#[derive(Debug)]
pub(super) struct Directory(pub(super) Arc<Tenants>);

/// The generation that is in force.
#[derive(Debug)]
pub(super) struct Current(ArcSwap<Generation>);

// === impl Directory ===

impl TenantDirectory for Directory {
    fn find(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.find(id).cloned()
    }

    fn spoken_for(&self, issuer: &str, unverified_claim_value: &str) -> Option<Arc<Tenant>> {
        self.0.spoken_for(issuer, unverified_claim_value).cloned()
    }
}

// === impl Current ===

impl Current {
    pub(super) fn new(first: Generation) -> Self {
        Self(ArcSwap::from_pointee(first))
    }

    pub(super) fn load(&self) -> Arc<Generation> {
        self.0.load_full()
    }

    pub(super) fn replace(&self, next: Generation) {
        self.0.store(Arc::new(next));
    }
}

impl Rules for Current {
    fn in_force(&self) -> Arc<dyn InForce> {
        self.load()
    }

    fn tenant_now(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.load().tenants.find(id)
    }
}

// === impl Generation ===

impl InForce for Generation {
    fn authn(&self) -> &dyn Authenticate {
        &self.authn
    }

    fn tenants(&self) -> &dyn TenantDirectory {
        &*self.tenants
    }

    fn policy(&self) -> &dyn Authorize {
        &self.policy
    }
}
