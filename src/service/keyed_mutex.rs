//! One at a time within this process: changes of a resource, so that a look before a change still holds
//! when the change is made, and requests under the same id. Other processes, and AWS's own tools, are
//! beyond it; the store keeps requests apart among those that share it.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Instant,
};

use tokio::{
    sync::{Mutex as Turnstile, OwnedMutexGuard},
    time::timeout_at,
};

/// How many may be kept before those that nobody is at any more are dropped.
const SWEEP_AT: usize = 1024;

/// Whose turn it is on each.
pub(super) struct KeyedMutex<K> {
    turnstiles: Mutex<HashMap<K, Weak<Turnstile<()>>>>,
}

/// Held while it is one's turn.
pub(super) struct KeyGuard(#[expect(dead_code, reason = "held for its drop")] OwnedMutexGuard<()>);

// === impl Serial ===

impl<K: Clone + Eq + Hash> KeyedMutex<K> {
    /// Waits until nobody else is at it; none where `deadline` comes first.
    pub(super) async fn lock(&self, what: &K, deadline: Instant) -> Option<KeyGuard> {
        let turnstile = self.entry(what);
        let permit = timeout_at(deadline.into(), turnstile.lock_owned()).await;
        permit.ok().map(KeyGuard)
    }

    /// The same without waiting.
    pub(super) fn try_lock(&self, what: &K) -> Option<KeyGuard> {
        self.entry(what).try_lock_owned().ok().map(KeyGuard)
    }

    fn entry(&self, what: &K) -> Arc<Turnstile<()>> {
        let mut all = self.turnstiles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turnstile) = all.get(what).and_then(Weak::upgrade) {
            return turnstile;
        }
        if all.len() >= SWEEP_AT && all.len() == all.capacity() {
            all.retain(|_, turnstile| turnstile.strong_count() > 0);
        }
        let turnstile = Arc::new(Turnstile::new(()));
        all.insert(what.clone(), Arc::downgrade(&turnstile));
        turnstile
    }
}

impl<K> Default for KeyedMutex<K> {
    fn default() -> Self {
        Self { turnstiles: Mutex::default() }
    }
}

impl<K> fmt::Debug for KeyedMutex<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serial").finish_non_exhaustive()
    }
}

impl fmt::Debug for KeyGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish()
    }
}
