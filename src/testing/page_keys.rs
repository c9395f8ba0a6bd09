//! A store of the keys of page tokens that keeps them in memory.

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    domain::time::Timestamp,
    ports::{
        Unavailable,
        page_keys::{PageKeyStore, SealedPageKey},
    },
};

/// Keeps the keys in memory.
#[derive(Debug, Default)]
pub struct FakePageKeys(Mutex<Vec<SealedPageKey>>);

// === impl FakePageKeys ===

impl FakePageKeys {
    /// What is stored.
    #[must_use]
    pub fn all(&self) -> Vec<SealedPageKey> {
        self.0.lock().clone()
    }

    /// Stores only these keys, as somebody could who can write the database.
    pub fn replace(&self, keys: Vec<SealedPageKey>) {
        *self.0.lock() = keys;
    }
}

#[async_trait]
impl PageKeyStore for FakePageKeys {
    async fn load(&self) -> Result<Vec<SealedPageKey>, Unavailable> {
        Ok(self.all())
    }

    async fn save(&self, keys: &[SealedPageKey], now: Timestamp) -> Result<(), Unavailable> {
        let mut stored = self.0.lock();
        for key in keys {
            let known = stored.iter().position(|it| it.sealed_by == key.sealed_by && it.id == key.id);
            let before = known.map(|at| stored.remove(at)).and_then(|it| it.until);
            let until = key.until.map(|until| before.unwrap_or(until));
            stored.push(SealedPageKey { until, ..key.clone() });
        }
        stored.retain(|key| key.until.is_none_or(|until| until > now));
        Ok(())
    }
}
