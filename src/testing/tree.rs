//! A fake of the tree's store, which keeps the newest checkpoint and fails if configured to.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::ports::{LeadershipStatus, SignedCheckpoint, Tile, TreeStore, Unavailable};

/// A tree that keeps only its newest checkpoint.
#[derive(Debug, Default)]
pub struct FakeTree {
    newest: Mutex<Option<SignedCheckpoint>>,
    fails: AtomicBool,
}

// === impl FakeTree ===

impl FakeTree {
    /// Fails every further call, or stops failing.
    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, SeqCst);
    }

    fn respond<T>(&self, response: T) -> Result<T, Unavailable> {
        if self.fails.load(SeqCst) {
            return Err(Unavailable { dependency: "audit tree", source: None });
        }
        Ok(response)
    }
}

#[async_trait]
impl TreeStore for FakeTree {
    async fn lead(&self) -> Result<LeadershipStatus, Unavailable> {
        self.respond(LeadershipStatus::Held)
    }

    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable> {
        self.respond(self.newest.lock().clone())
    }

    async fn checkpoints(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        self.respond(self.newest.lock().iter().cloned().collect())
    }

    async fn tiles(&self, _: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable> {
        self.respond(Vec::new())
    }

    async fn grow(&self, _: &[Tile], checkpoint: &SignedCheckpoint) -> Result<(), Unavailable> {
        *self.newest.lock() = Some(checkpoint.clone());
        self.respond(())
    }
}
