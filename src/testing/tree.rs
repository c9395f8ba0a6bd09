//! A fake of the tree's store: keeps the newest checkpoint, and fails when it is told to.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use async_trait::async_trait;

use crate::ports::{LeadershipStatus, SignedCheckpoint, Tile, TreeStore, Unavailable};

/// A tree of which only the checkpoint is kept.
#[derive(Debug, Default)]
pub struct FakeTree {
    newest: Mutex<Option<SignedCheckpoint>>,
    fails: AtomicBool,
}

// === impl FakeTree ===

impl FakeTree {
    /// Does not answer, or does so again, from now on.
    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, SeqCst);
    }

    fn answers<T>(&self, answer: T) -> Result<T, Unavailable> {
        if self.fails.load(SeqCst) {
            return Err(Unavailable { dependency: "audit tree", source: None });
        }
        Ok(answer)
    }
}

#[async_trait]
impl TreeStore for FakeTree {
    async fn lead(&self) -> Result<LeadershipStatus, Unavailable> {
        self.answers(LeadershipStatus::Held)
    }

    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable> {
        self.answers(self.newest.lock().unwrap().clone())
    }

    async fn key_rotations(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        self.answers(Vec::new())
    }

    async fn tiles(&self, _: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable> {
        self.answers(Vec::new())
    }

    async fn grow(&self, _: &[Tile], checkpoint: &SignedCheckpoint) -> Result<(), Unavailable> {
        *self.newest.lock().unwrap() = Some(checkpoint.clone());
        self.answers(())
    }
}
