//! A change of the signing key, with its proof.

use crate::audit::{
    checkpoint::SigningKey,
    proof::{Statement, StatementTree},
};

/// A change of the signing key. An event must name both keys before the new key signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The verifier key of the key that signed until now.
    pub from: String,
    /// The verifier key of the key that signs from now on.
    pub to: String,
    /// The statement of the rotation, signed by both keys.
    pub proof: String,
}

// === impl Rotation ===

impl Rotation {
    /// The rotation from a key to the first part of `both`, signed by both. `None` is not expected: it means
    /// that the parts form no note.
    pub(super) fn new(from: &str, both: &SigningKey, tree: &StatementTree) -> Option<Self> {
        let to = both.verifier();
        let proof = Statement::Rotation { from, to }.sign(both, tree)?;
        Some(Self { from: from.to_owned(), to: to.to_owned(), proof })
    }
}
