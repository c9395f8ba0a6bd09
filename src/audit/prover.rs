//! Gives the use cases the signed state of the tree: checkpoints, proofs, and a signal when it grows.

use std::sync::Arc;

use async_trait::async_trait;
use tlog_tiles::Hash;
use tokio::sync::watch;

use super::{
    checkpoint::{self, SigningKey},
    proof::StatementTree,
    prove::{self, ProofError},
    tree,
};
use crate::ports::{AuditTree, LeafHash, SignedTree, TreeStore, Unavailable};

/// The tree that the sequencer signed last, and the keys that sign now.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) tree: StatementTree,
    pub(super) key: SigningKey,
}

/// Serves checkpoints and proofs from the stored tree.
#[derive(Clone)]
pub struct ProofService {
    tree: Arc<dyn TreeStore>,
    origin: Box<str>,
    published: watch::Receiver<Published>,
}

// === impl ProofService ===

impl ProofService {
    pub(super) fn new(
        tree: Arc<dyn TreeStore>,
        origin: Box<str>,
        published: watch::Receiver<Published>,
    ) -> Self {
        Self { tree, origin, published }
    }

    /// The key that signs now.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        self.published.borrow().key.clone()
    }
}

#[async_trait]
impl AuditTree for ProofService {
    async fn newest(&self) -> Result<SignedTree, Unavailable> {
        let signed = self.tree.checkpoint().await?.ok_or_else(|| unavailable("the log has no checkpoint"))?;
        let read = checkpoint::read(signed.note.as_bytes(), &self.origin, &self.verifiers());
        let read = read.map_err(unavailable)?;
        Ok(SignedTree { size: read.size(), root: read.hash().0, time: signed.time, note: signed.note })
    }

    async fn inclusion(&self, seq: u64, size: u64) -> Result<Vec<LeafHash>, Unavailable> {
        prove::inclusion(&*self.tree, seq, size).await.map(raw_hashes).map_err(map_proof_error)
    }

    async fn consistency(&self, from: u64, to: u64) -> Result<Vec<LeafHash>, Unavailable> {
        prove::consistency(&*self.tree, from, to).await.map(raw_hashes).map_err(map_proof_error)
    }

    fn leaf(&self, body: &[u8]) -> LeafHash {
        tree::leaf(body).0
    }

    fn verifiers(&self) -> Vec<String> {
        self.published.borrow().key.verifiers()
    }

    async fn wait_for_size(&self, beyond: u64) -> u64 {
        let mut published = self.published.clone();
        let grown = published.wait_for(|published| published.tree.size > beyond).await.map(|it| it.tree.size);
        match grown {
            Ok(size) => size,
            // The sequencer has ended, so the tree will not grow. The caller ends the wait by other means.
            Err(_closed) => std::future::pending().await,
        }
    }
}

fn raw_hashes(hashes: Vec<Hash>) -> Vec<LeafHash> {
    hashes.into_iter().map(|hash| hash.0).collect()
}

fn map_proof_error(error: ProofError) -> Unavailable {
    match error {
        ProofError::Unavailable(error) => error,
        ProofError::NotCovered { .. } | ProofError::Damaged => unavailable(error),
    }
}

fn unavailable(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Unavailable {
    Unavailable { dependency: "audit tree", source: Some(reason.into()) }
}

impl std::fmt::Debug for ProofService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProofService")
    }
}
