//! Computes proofs from the stored tiles: that an event is in the log, and that the log only grew. Of other
//! tenants they reveal only hashes.

use thiserror::Error;
use tlog_tiles::Hash;

pub use super::tree::leaf;
use super::tree::{HashRequests, Tiles};
use crate::ports::{TreeStore, Unavailable};

/// Why there is no proof.
#[derive(Debug, Error)]
pub enum ProofError {
    /// The store is not available.
    #[error("the audit log cannot be read")]
    Unavailable(#[from] Unavailable),
    /// The checkpoint is too small for the proof.
    #[error("the checkpoint covers only {size} events: use a later one")]
    NotCovered {
        /// The checkpoint's size.
        size: u64,
    },
    /// Tiles of the tree are missing.
    #[error("the log's tree is damaged: run `logkey audit verify`")]
    Damaged,
}

/// The inclusion proof of the event at position `seq` (the first is 1) in the tree of this size.
///
/// # Errors
///
/// [`ProofError`].
pub async fn inclusion(tree: &dyn TreeStore, seq: u64, size: u64) -> Result<Vec<Hash>, ProofError> {
    let Some(index) = seq.checked_sub(1).filter(|index| *index < size) else {
        return Err(ProofError::NotCovered { size });
    };
    let hash_requests = HashRequests::default();
    // The result of this run is meaningless. It only finds out which hashes the proof needs.
    drop(tlog_tiles::prove_record(size, index, &hash_requests));
    let tiles = Tiles::with(tree, &hash_requests.0.into_inner()).await?;
    tlog_tiles::prove_record(size, index, &tiles).map_err(|_missing| ProofError::Damaged)
}

/// The consistency proof: the tree of size `from` is the beginning of the tree of size `to`.
///
/// # Errors
///
/// [`ProofError`].
pub async fn consistency(tree: &dyn TreeStore, from: u64, to: u64) -> Result<Vec<Hash>, ProofError> {
    if from > to {
        return Err(ProofError::NotCovered { size: to });
    }
    if from == 0 || from == to {
        return Ok(Vec::new());
    }
    let hash_requests = HashRequests::default();
    drop(tlog_tiles::prove_tree(to, from, &hash_requests));
    let tiles = Tiles::with(tree, &hash_requests.0.into_inner()).await?;
    tlog_tiles::prove_tree(to, from, &tiles).map_err(|_missing| ProofError::Damaged)
}

/// An inclusion proof with its checkpoint in the format of C2SP tlog-proof
/// (<https://c2sp.org/tlog-proof>).
#[must_use]
pub fn text(seq: u64, proof: &[Hash], note: &str) -> String {
    let mut lines = vec!["c2sp.org/tlog-proof@v1".to_owned(), format!("index {}", seq.saturating_sub(1))];
    lines.extend(proof.iter().map(ToString::to_string));
    format!("{}\n\n{note}", lines.join("\n"))
}
