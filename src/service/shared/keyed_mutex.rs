//! A mutex for each key, within this process. It serializes changes of one resource, so that the prior state
//! is still valid when the change is sent, and requests with one idempotency key. It does not cover other
//! processes or AWS's own tools. The store serializes requests among the processes that share it.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Weak},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as EntryMutex, OwnedMutexGuard},
    time::timeout_at,
};

/// The number of entries from which unused ones are removed.
const SWEEP_AT: usize = 1024;

/// A map of locks.
pub(in crate::service) struct KeyedMutex<K> {
    entries: Mutex<HashMap<K, Weak<EntryMutex<()>>>>,
}

/// Holds the lock of one key until it is dropped.
pub(in crate::service) struct KeyGuard(
    #[expect(dead_code, reason = "held for its drop")] OwnedMutexGuard<()>,
);

// === impl KeyedMutex ===

impl<K: Clone + Eq + Hash> KeyedMutex<K> {
    /// Locks `key`. `None` if the lock is not free before `deadline`.
    pub(in crate::service) async fn lock(&self, key: &K, deadline: Instant) -> Option<KeyGuard> {
        let entry = self.entry(key);
        timeout_at(deadline.into(), entry.lock_owned()).await.ok().map(KeyGuard)
    }

    /// Locks `key`, or returns `None` if it is locked.
    pub(in crate::service) fn try_lock(&self, key: &K) -> Option<KeyGuard> {
        self.entry(key).try_lock_owned().ok().map(KeyGuard)
    }

    fn entry(&self, key: &K) -> Arc<EntryMutex<()>> {
        let mut all = self.entries.lock();
        if let Some(entry) = all.get(key).and_then(Weak::upgrade) {
            return entry;
        }
        if all.len() >= SWEEP_AT && all.len() == all.capacity() {
            all.retain(|_, entry| entry.strong_count() > 0);
        }
        let entry = Arc::new(EntryMutex::new(()));
        all.insert(key.clone(), Arc::downgrade(&entry));
        entry
    }
}

impl<K> Default for KeyedMutex<K> {
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

impl<K> fmt::Debug for KeyedMutex<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedMutex").finish_non_exhaustive()
    }
}

impl fmt::Debug for KeyGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyGuard").finish()
    }
}
