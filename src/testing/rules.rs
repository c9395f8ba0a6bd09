//! A fake of the snapshot source, whose snapshot a test composes and replaces. It counts the reads.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use parking_lot::Mutex;

use super::{FakeAuthn, principal};
use crate::{
    domain::tenant::{Tenant, TenantId},
    ports::{Authenticate, Authorize, ConfigSnapshot, SnapshotSource, TenantDirectory},
};

/// Provides the snapshot that was set last.
#[derive(Debug)]
pub struct FakeRules {
    snapshot: Mutex<Arc<Parts>>,
    reads: AtomicUsize,
}

/// A snapshot of three ports.
struct Parts {
    authn: Arc<dyn Authenticate>,
    tenants: Arc<dyn TenantDirectory>,
    policy: Arc<dyn Authorize>,
}

// === impl FakeRules ===

impl FakeRules {
    /// A snapshot with these tenants and this policy, in which no caller has a token.
    #[must_use]
    pub fn of(tenants: Arc<dyn TenantDirectory>, policy: Arc<dyn Authorize>) -> Self {
        let nobody = Arc::new(FakeAuthn::accepting("a token of nobody", principal("nobody", &[])));
        Self::with(nobody, tenants, policy)
    }

    /// A snapshot with this authentication, these tenants and this policy.
    #[must_use]
    pub fn with(
        authn: Arc<dyn Authenticate>,
        tenants: Arc<dyn TenantDirectory>,
        policy: Arc<dyn Authorize>,
    ) -> Self {
        let snapshot = Mutex::new(Arc::new(Parts { authn, tenants, policy }));
        Self { snapshot, reads: AtomicUsize::new(0) }
    }

    /// Replaces the tenants and the policy of the snapshot.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn replace(&self, tenants: Arc<dyn TenantDirectory>, policy: Arc<dyn Authorize>) {
        let mut snapshot = self.snapshot.lock();
        *snapshot = Arc::new(Parts { authn: Arc::clone(&snapshot.authn), tenants, policy });
    }

    /// The number of reads of the current snapshot.
    pub fn reads(&self) -> usize {
        self.reads.load(SeqCst)
    }
}

impl SnapshotSource for FakeRules {
    fn current(&self) -> Arc<dyn ConfigSnapshot> {
        self.reads.fetch_add(1, SeqCst);
        Arc::clone(&*self.snapshot.lock()) as Arc<dyn ConfigSnapshot>
    }

    fn current_tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.snapshot.lock().tenants.find(id)
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
