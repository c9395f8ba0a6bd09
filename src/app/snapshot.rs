//! The current snapshot of tenants, policies and issuers. A reload replaces it as a whole.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    auth::{CedarPolicy, JwtAuthn},
    domain::tenant::{Tenant, TenantId, Tenants},
    ports::{Authenticate, Authorize, ConfigSnapshot, SnapshotSource, TenantDirectory},
};

/// Tenants, policies and issuers that belong together. Policies built for other tenants, or tenants whose
/// issuers are missing, would decide wrongly.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) tenants: Arc<SnapshotTenants>,
    pub(super) policy: CedarPolicy,
    pub(super) authn: JwtAuthn,
}

/// The tenants of one snapshot, as a port.
#[derive(Debug)]
pub(super) struct SnapshotTenants(pub(super) Arc<Tenants>);

/// Holds the current snapshot.
#[derive(Debug)]
pub(super) struct SnapshotHolder(ArcSwap<Snapshot>);

// === impl SnapshotTenants ===

impl TenantDirectory for SnapshotTenants {
    fn find(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.find(id).cloned()
    }

    fn all(&self) -> Vec<Arc<Tenant>> {
        self.0.iter().cloned().collect()
    }

    fn by_claim(&self, issuer: &str, unverified_claim_value: &str) -> Option<Arc<Tenant>> {
        self.0.by_claim(issuer, unverified_claim_value).cloned()
    }
}

// === impl SnapshotHolder ===

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

// === impl Snapshot ===

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
