//! The proofs in events that change whom or what the log trusts: a signed note over a statement that only the
//! holder of the signing key can make. A row in the database alone therefore changes nothing.

use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::Hash;

use super::checkpoint::SigningKey;

/// What the log's signing key confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statement<'s> {
    /// Another key signs from here on. Both keys sign the statement.
    Rotation {
        /// The verifier key of the former key.
        from: &'s str,
        /// The verifier key of the new key.
        to: &'s str,
    },
    /// The events up to this one were moved to an archive.
    Archive {
        /// The last event.
        last: u64,
        /// The root of the tree over the events, in base64.
        root: &'s str,
    },
    /// This log follows another one, whose key was lost.
    Restart {
        /// How many events the newest checkpoint of the former log covers.
        size: u64,
        /// The root of that checkpoint, in base64.
        root: &'s str,
    },
}

/// The log and its newest tree when the statement was made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StatementTree {
    pub(super) size: u64,
    pub(super) root: Hash,
}

// === impl Statement ===

impl Statement<'_> {
    /// The statement with the signatures of all parts of the key. None is not expected: it means that the
    /// parts form no note.
    pub(super) fn sign(&self, key: &SigningKey, tree: &StatementTree) -> Option<String> {
        key.sign_text(&self.text(key.origin(), tree))
    }

    /// The tree that a proof names, if the proof is of this statement and each of the keys signed it.
    pub(super) fn verify(&self, proof: &str, origin: &str, keys: &[&str]) -> Option<StatementTree> {
        let note = Note::from_bytes(proof.as_bytes()).ok()?;
        let text = std::str::from_utf8(note.text()).ok()?;
        let tree = StatementTree::parse(text.lines().nth(2)?)?;
        let is_signed = |key: &&str| {
            let verifier = StandardVerifier::new(key).ok()?;
            note.verify(&VerifierList::new(vec![Box::new(verifier)])).ok()
        };
        let is_signed_by_all = keys.iter().all(|key| is_signed(key).is_some());
        (is_signed_by_all && text == self.text(origin, &tree)).then_some(tree)
    }

    /// The second line makes it no checkpoint, whose second line is a number.
    fn text(&self, origin: &str, tree: &StatementTree) -> String {
        let StatementTree { size, root } = tree;
        let (kind, content) = match self {
            Self::Rotation { from, to } => ("rotate-key", format!("from {from}\nto {to}")),
            Self::Archive { last, root } => ("archive", format!("last {last}\nroot {root}")),
            Self::Restart { size, root } => ("restart", format!("former {size} {root}")),
        };
        format!("{origin}\nlogkey {kind} v1\ntree {size} {root}\n{content}\n")
    }
}

// === impl StatementTree ===

impl StatementTree {
    fn parse(line: &str) -> Option<Self> {
        let (size, root) = line.strip_prefix("tree ")?.split_once(' ')?;
        Some(Self { size: size.parse().ok()?, root: Hash::parse_hash(root).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "logkey.test";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32], ORIGIN).unwrap()
    }

    #[test]
    fn a_rotation_is_proved_only_by_the_signatures_of_both_keys() {
        let (old, new, other) = (key(1), key(2), key(3));
        let (from, to) = (old.verifier(), new.verifier());
        let statement = Statement::Rotation { from, to };
        let tree = StatementTree { size: 7, root: Hash([9; 32]) };
        let proof = statement.sign(&new.with_cosigner(&old), &tree).unwrap();
        assert_eq!(statement.verify(&proof, ORIGIN, &[from, to]), Some(tree.clone()));
        let elsewhere = Statement::Rotation { from, to: other.verifier() };
        assert_eq!(elsewhere.verify(&proof, ORIGIN, &[from, to]), None);
        assert_eq!(statement.verify(&proof, "another", &[from, to]), None);
        for alone in [&old, &new, &new.with_cosigner(&other)] {
            let proof = statement.sign(alone, &tree).unwrap();
            assert_eq!(statement.verify(&proof, ORIGIN, &[from, to]), None);
        }
        for changed in [proof.replace("tree 7", "tree 8"), proof.replace("v1", "v2"), String::new()] {
            assert_eq!(statement.verify(&changed, ORIGIN, &[from, to]), None);
        }
    }

    #[test]
    fn a_restart_is_proved_only_by_the_key_of_the_new_log() {
        let (key, other) = (key(1), key(2));
        let tree = StatementTree { size: 0, root: tlog_tiles::EMPTY_HASH };
        let statement = Statement::Restart { size: 7, root: "cm9vdA==" };
        let proof = statement.sign(&key, &tree).unwrap();
        assert_eq!(statement.verify(&proof, ORIGIN, &[key.verifier()]), Some(tree));
        assert_eq!(statement.verify(&proof, ORIGIN, &[other.verifier()]), None);
        for changed in [
            Statement::Restart { size: 8, root: "cm9vdA==" },
            Statement::Restart { size: 7, root: "b3RoZXI=" },
            Statement::Archive { last: 7, root: "cm9vdA==" },
        ] {
            assert_eq!(changed.verify(&proof, ORIGIN, &[key.verifier()]), None);
        }
    }

    #[test]
    fn a_checkpoint_is_no_proof_and_a_proof_is_no_checkpoint() {
        let (key, tree) = (key(1), StatementTree { size: 256, root: Hash([9; 32]) });
        let statement = Statement::Archive { last: 256, root: "x" };
        let proof = statement.sign(&key, &tree).unwrap();
        assert_eq!(statement.verify(&proof, ORIGIN, &[key.verifier()]), Some(tree));
        assert!(crate::audit::checkpoint::read(proof.as_bytes(), ORIGIN, &key.verifiers()).is_err());
        let note = key.sign(256, Hash([9; 32]), Some(0)).unwrap();
        assert_eq!(statement.verify(&note, ORIGIN, &[key.verifier()]), None);
    }
}
