//! What is in force, put together of parts: exchanged by hand, and counted when it is asked for.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use super::{FakeAuthn, principal};
use crate::{
    domain::tenant::{Tenant, TenantId},
    ports::{Authenticate, Authorize, ConfigSnapshot, SnapshotSource, TenantDirectory},
};

/// Gives out what it was last told to.
#[derive(Debug)]
pub struct FakeRules {
    now: Mutex<Arc<Parts>>,
    requests: AtomicUsize,
}

/// Three ports as one.
struct Parts {
    authn: Arc<dyn Authenticate>,
    tenants: Arc<dyn TenantDirectory>,
    policy: Arc<dyn Authorize>,
}

// === impl FakeRules ===

impl FakeRules {
    /// These tenants and this policy, and nobody with a token.
    #[must_use]
    pub fn of(tenants: Arc<dyn TenantDirectory>, policy: Arc<dyn Authorize>) -> Self {
        let nobody = Arc::new(FakeAuthn::accepting("a token of nobody", principal("nobody", &[])));
        Self::with(nobody, tenants, policy)
    }

    /// The same with callers.
    #[must_use]
    pub fn with(
        authn: Arc<dyn Authenticate>,
        tenants: Arc<dyn TenantDirectory>,
        policy: Arc<dyn Authorize>,
    ) -> Self {
        let now = Mutex::new(Arc::new(Parts { authn, tenants, policy }));
        Self { now, requests: AtomicUsize::new(0) }
    }

    /// Has these tenants and this policy in force from now on.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn replace(&self, tenants: Arc<dyn TenantDirectory>, policy: Arc<dyn Authorize>) {
        let mut now = self.now.lock().unwrap();
        *now = Arc::new(Parts { authn: Arc::clone(&now.authn), tenants, policy });
    }

    /// How often it was asked what is in force.
    pub fn reads(&self) -> usize {
        self.requests.load(SeqCst)
    }
}

impl SnapshotSource for FakeRules {
    fn current(&self) -> Arc<dyn ConfigSnapshot> {
        self.requests.fetch_add(1, SeqCst);
        Arc::clone(&*self.now.lock().unwrap()) as Arc<dyn ConfigSnapshot>
    }

    fn current_tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.now.lock().unwrap().tenants.find(id)
    }
}

// === impl Parts ===

impl ConfigSnapshot for Parts {
    fn authn(&self) -> &dyn Authenticate {
        &*self.authn
    }

    fn tenants(&self) -> &dyn TenantDirectory {
        &*self.tenants
    }

    fn policy(&self) -> &dyn Authorize {
        &*self.policy
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}
