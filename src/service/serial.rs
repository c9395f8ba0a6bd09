//! One change of a resource at a time within this process, so that a look before a change still holds
//! when the change is made. Other processes, and AWS's own tools, are beyond it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Instant,
};

use tokio::{
    sync::{Mutex as Turnstile, OwnedMutexGuard},
    time::timeout_at,
};

use crate::domain::association::Resource;

/// How many resources may be kept before those that nobody changes any more are dropped.
const SWEEP_AT: usize = 1024;

/// Whose turn it is on each resource.
#[derive(Default)]
pub(super) struct Serial {
    turnstiles: Mutex<HashMap<Resource, Weak<Turnstile<()>>>>,
}

/// Held while a resource is being changed.
pub(super) struct Held(#[expect(dead_code, reason = "held for its drop")] OwnedMutexGuard<()>);

// === impl Serial ===

impl Serial {
    /// Waits until nobody else changes the resource; none where `deadline` comes first.
    pub(super) async fn hold(&self, resource: &Resource, deadline: Instant) -> Option<Held> {
        let turnstile = self.turnstile(resource);
        let turn = timeout_at(deadline.into(), turnstile.lock_owned()).await;
        turn.ok().map(Held)
    }

    fn turnstile(&self, resource: &Resource) -> Arc<Turnstile<()>> {
        let mut all = self.turnstiles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turnstile) = all.get(resource).and_then(Weak::upgrade) {
            return turnstile;
        }
        if all.len() >= SWEEP_AT && all.len() == all.capacity() {
            all.retain(|_, turnstile| turnstile.strong_count() > 0);
        }
        let turnstile = Arc::new(Turnstile::new(()));
        all.insert(resource.clone(), Arc::downgrade(&turnstile));
        turnstile
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serial").finish_non_exhaustive()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish()
    }
}
