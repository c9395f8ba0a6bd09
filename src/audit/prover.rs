//! What is signed of the log's tree, for the use cases: checkpoints, proofs, and word of each growth.

use std::sync::Arc;

use async_trait::async_trait;
use tlog_tiles::Hash;
use tokio::sync::watch;

use super::{
    checkpoint,
    prove::{self, ProofError},
};
use crate::ports::{AuditTree, LeafHash, SignedTree, TreeStore, Unavailable};

/// What the sequencer has signed, and by which keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    pub(super) size: u64,
    pub(super) verifiers: Arc<[String]>,
}

/// Answers from the stored tree what the sequencer signed.
#[derive(Clone)]
pub struct ProofService {
    tree: Arc<dyn TreeStore>,
    origin: Box<str>,
    published: watch::Receiver<Published>,
}

// === impl Prover ===

impl ProofService {
    pub(super) fn new(
        tree: Arc<dyn TreeStore>,
        origin: Box<str>,
        published: watch::Receiver<Published>,
    ) -> Self {
        Self { tree, origin, published }
    }
}

#[async_trait]
impl AuditTree for ProofService {
    async fn newest(&self) -> Result<SignedTree, Unavailable> {
        let signed = self.tree.checkpoint().await?.ok_or_else(|| unavailable("there is no checkpoint"))?;
        let read = checkpoint::read(signed.note.as_bytes(), &self.origin, &self.verifiers());
        let read = read.map_err(unavailable)?;
        Ok(SignedTree { size: read.size(), root: read.hash().0, time: signed.time, note: signed.note })
    }

    async fn inclusion(&self, seq: u64, size: u64) -> Result<Vec<LeafHash>, Unavailable> {
        prove::inclusion(&*self.tree, seq, size).await.map(strip_signature).map_err(map_proof_error)
    }

    async fn consistency(&self, from: u64, to: u64) -> Result<Vec<LeafHash>, Unavailable> {
        prove::consistency(&*self.tree, from, to).await.map(strip_signature).map_err(map_proof_error)
    }

    fn leaf(&self, body: &[u8]) -> LeafHash {
        tlog_tiles::record_hash(body).0
    }

    fn verifiers(&self) -> Vec<String> {
        self.published.borrow().verifiers.to_vec()
    }

    async fn wait_for_size(&self, beyond: u64) -> u64 {
        let mut published = self.published.clone();
        let grown = published.wait_for(|published| published.size > beyond).await.map(|it| it.size);
        match grown {
            Ok(size) => size,
            // Nothing is signed any more: whoever waits has another end to wait for.
            Err(_closed) => std::future::pending().await,
        }
    }
}

fn strip_signature(hashes: Vec<Hash>) -> Vec<LeafHash> {
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
        f.write_str("Prover")
    }
}
