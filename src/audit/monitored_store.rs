//! A tree store that records when the wrapped store last responded. The sequencer calls it twice a second, so
//! an idle service notices that the database is gone before the next call does. `App` wires it.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use crate::ports::{LeadershipStatus, SignedCheckpoint, Tile, TreeStore, Unavailable};

/// How long the store may fail to respond before it counts as unavailable.
const UNREADY_AFTER: Duration = Duration::from_secs(3);

/// Forwards every call, and records the time of the last success.
pub struct MonitoredTreeStore {
    store: Arc<dyn TreeStore>,
    last: Mutex<Instant>,
}

// === impl MonitoredTreeStore ===

impl MonitoredTreeStore {
    /// Wraps a store that has just responded.
    #[must_use]
    pub fn new(store: Arc<dyn TreeStore>) -> Self {
        Self { store, last: Mutex::new(Instant::now()) }
    }

    /// Why the store counts as unavailable; none if it is available.
    pub fn unready(&self) -> Option<String> {
        let silent = self.last.lock().elapsed();
        (silent > UNREADY_AFTER).then(|| format!("it has not responded for {} s", silent.as_secs()))
    }

    fn observe<T>(&self, answer: Result<T, Unavailable>) -> Result<T, Unavailable> {
        if answer.is_ok() {
            *self.last.lock() = Instant::now();
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

    async fn checkpoints(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        self.observe(self.store.checkpoints().await)
    }

    async fn refuse_untagged(&self) -> Result<bool, Unavailable> {
        self.observe(self.store.refuse_untagged().await)
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
        f.write_str("MonitoredTreeStore")
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::testing::FakeTree;

    #[tokio::test(start_paused = true)]
    async fn a_store_counts_as_unavailable_only_after_a_long_silence() {
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
        // A store that hangs counts as unavailable too.
        sleep(UNREADY_AFTER * 2).await;
        assert!(monitored.unready().is_some());
    }
}
