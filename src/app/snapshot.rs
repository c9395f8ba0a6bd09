//! Tenants, policies and issuers that are in force: one generation, swapped whole by a reload.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    auth::{CedarPolicy, JwtAuthn},
    domain::tenant::{Tenant, TenantId, Tenants},
    ports::{Authenticate, Authorize, ConfigSnapshot, SnapshotSource, TenantDirectory},
};

/// What belongs together: rules made for other tenants, or tenants whose issuers are not known, would
/// decide wrongly.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) tenants: Arc<SnapshotTenants>,
    pub(super) policy: CedarPolicy,
    pub(super) authn: JwtAuthn,
}

/// The tenants of one generation, as a port.
#[derive(Debug)]
pub(super) struct SnapshotTenants(pub(super) Arc<Tenants>);

/// The generation that is in force.
#[derive(Debug)]
pub(super) struct SnapshotHolder(ArcSwap<Snapshot>);

// === impl Directory ===

impl TenantDirectory for SnapshotTenants {
    fn find(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.find(id).cloned()
    }

    fn by_claim(&self, issuer: &str, unverified_claim_value: &str) -> Option<Arc<Tenant>> {
        self.0.by_claim(issuer, unverified_claim_value).cloned()
    }
}

// === impl Current ===

impl SnapshotHolder {
    pub(super) fn new(first: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(first))
    }

    pub(super) fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    pub(super) fn replace(&self, next: Snapshot) {
        self.0.store(Arc::new(next));
    }
}

impl SnapshotSource for SnapshotHolder {
    fn current(&self) -> Arc<dyn ConfigSnapshot> {
        self.load()
    }

    fn current_tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.load().tenants.find(id)
    }
}

// === impl Generation ===

impl ConfigSnapshot for Snapshot {
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
