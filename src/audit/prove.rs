//! Proofs from the stored tiles: that an event is in the log, and that a log only grew. They hold
//! hashes and nothing else of other tenants.

use thiserror::Error;
use tlog_tiles::Hash;

use super::tree::{Tiles, Wanted};
use crate::ports::{TreeStore, Unavailable};

/// Why there is no proof.
#[derive(Debug, Error)]
pub enum ProofError {
    /// The store does not answer.
    #[error("the audit log cannot be read")]
    Unavailable(#[from] Unavailable),
    /// The checkpoint does not cover it.
    #[error("the checkpoint of {size} events does not cover it yet")]
    NotCovered {
        /// The checkpoint's size.
        size: u64,
    },
    /// Tiles are missing.
    #[error("the log's tree is damaged: run `logkey audit verify`")]
    Damaged,
}

/// The hashes that lead from the event at this place (from 1) to the root of the tree of this size.
///
/// # Errors
///
/// [`NoProof`].
pub async fn inclusion(tree: &dyn TreeStore, seq: u64, size: u64) -> Result<Vec<Hash>, ProofError> {
    let Some(index) = seq.checked_sub(1).filter(|index| *index < size) else {
        return Err(ProofError::NotCovered { size });
    };
    let tile_requests = Wanted::default();
    // What comes out means nothing: it is run for what it asks.
    drop(tlog_tiles::prove_record(size, index, &tile_requests));
    let tiles = Tiles::with(tree, &tile_requests.0.into_inner()).await?;
    tlog_tiles::prove_record(size, index, &tiles).map_err(|_missing| ProofError::Damaged)
}

/// The hashes that show the tree of size `from` to be the beginning of the one of size `to`.
///
/// # Errors
///
/// [`NoProof`].
pub async fn consistency(tree: &dyn TreeStore, from: u64, to: u64) -> Result<Vec<Hash>, ProofError> {
    if from > to {
        return Err(ProofError::NotCovered { size: to });
    }
    if from == 0 || from == to {
        return Ok(Vec::new());
    }
    let tile_requests = Wanted::default();
    drop(tlog_tiles::prove_tree(to, from, &tile_requests));
    let tiles = Tiles::with(tree, &tile_requests.0.into_inner()).await?;
    tlog_tiles::prove_tree(to, from, &tiles).map_err(|_missing| ProofError::Damaged)
}

/// An inclusion proof with its checkpoint, as one text that can be kept (C2SP tlog-proof).
#[must_use]
pub fn text(seq: u64, proof: &[Hash], note: &str) -> String {
    let mut lines = vec!["c2sp.org/tlog-proof@v1".to_owned(), format!("index {}", seq.saturating_sub(1))];
    lines.extend(proof.iter().map(ToString::to_string));
    format!("{}\n\n{note}", lines.join("\n"))
}
