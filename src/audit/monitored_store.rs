//! The tree's store, with word of when it was last heard of: the sequencer asks it twice a second, so that a
//! service at rest learns of a server that is gone before the next call does. Wired by the composition.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::time::{Duration, Instant};

use crate::ports::{LeadershipStatus, SignedCheckpoint, Tile, TreeStore, Unavailable};

/// How long nothing may be heard of a store that is asked twice a second.
const UNREADY_AFTER: Duration = Duration::from_secs(3);

/// Passes everything on, and remembers when the store last did what it was asked.
pub struct MonitoredTreeStore {
    store: Arc<dyn TreeStore>,
    last: Mutex<Instant>,
}

// === impl Heard ===

impl MonitoredTreeStore {
    /// Over this store, of which something was heard just now.
    #[must_use]
    pub fn new(store: Arc<dyn TreeStore>) -> Self {
        Self { store, last: Mutex::new(Instant::now()) }
    }

    /// Why the store counts as gone, where it does.
    pub fn unready(&self) -> Option<String> {
        let silent = self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        (silent > UNREADY_AFTER).then(|| format!("nothing was heard of it for {} s", silent.as_secs()))
    }

    fn observe<T>(&self, answer: Result<T, Unavailable>) -> Result<T, Unavailable> {
        if answer.is_ok() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        answer
    }
}

#[async_trait]
impl TreeStore for MonitoredTreeStore {
    async fn lead(&self) -> Result<LeadershipStatus, Unavailable> {
        self.observe(self.store.lead().await)
    }

    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable> {
        self.observe(self.store.checkpoint().await)
    }

    async fn key_rotations(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        self.observe(self.store.key_rotations().await)
    }

    async fn tiles(&self, tile_ids: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable> {
        self.observe(self.store.tiles(tile_ids).await)
    }

    async fn grow(&self, tiles: &[Tile], checkpoint: &SignedCheckpoint) -> Result<(), Unavailable> {
        self.observe(self.store.grow(tiles, checkpoint).await)
    }
}

impl std::fmt::Debug for MonitoredTreeStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Heard")
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::testing::FakeTree;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_for_a_moment_is_there_and_one_that_says_nothing_for_long_is_gone() {
        let store = Arc::new(FakeTree::default());
        let monitored = MonitoredTreeStore::new(store.clone());
        store.fail(true);
        for _ in 0..2 {
            sleep(UNREADY_AFTER / 2).await;
            monitored.lead().await.unwrap_err();
            assert_eq!(monitored.unready(), None);
        }
        sleep(UNREADY_AFTER / 2).await;
        assert!(monitored.unready().is_some());
        store.fail(false);
        monitored.lead().await.unwrap();
        assert_eq!(monitored.unready(), None);
        // One that hangs is no other.
        sleep(UNREADY_AFTER * 2).await;
        assert!(monitored.unready().is_some());
    }
}
