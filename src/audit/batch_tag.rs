//! Authenticates the batches that journals hand over to the store. The sequencer signs only events that carry
//! such a tag, so a row that somebody else wrote into the database never becomes a part of the signed log.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::{
    constant_time,
    hmac::{Context, HMAC_SHA256, Key},
};
use parking_lot::RwLock;
use tlog_tiles::Hash;

use super::checkpoint::SigningKey;
use crate::ports::{BatchTag, LeafHash, StoredBatch};

/// The length of a code in bytes: half of HMAC-SHA-256 (RFC 2104, section 5).
const CODE: usize = 16;
/// The largest number of keys whose codes are accepted: of many rotations without a restart.
const MAX_ACCEPTED: usize = 16;

/// Makes and checks the tags of batches. The journal, the sequencer and the reload of the key share it.
pub struct BatchTagger {
    keys: RwLock<Keys>,
    /// The size of the newest checkpoint that this process knows.
    signed: AtomicU64,
}

struct Keys {
    /// Each of these keys contributes a code to a tag: both keys of a rotation, so that a process with only
    /// one of them accepts the tag.
    tagging: Vec<Key>,
    accepted: Vec<Key>,
}

// === impl BatchTagger ===

impl BatchTagger {
    /// Derives the keys of tags from the signing key.
    #[must_use]
    pub fn new(key: &SigningKey) -> Arc<Self> {
        let keys = Keys { tagging: derive(key), accepted: derive(key) };
        Arc::new(Self { keys: RwLock::new(keys), signed: AtomicU64::new(0) })
    }

    /// Tags further batches with this key. Tags of earlier keys of this process are still accepted.
    pub fn use_key(&self, key: &SigningKey) {
        let mut keys = self.keys.write();
        keys.tagging = derive(key);
        keys.accepted.splice(0..0, derive(key));
        keys.accepted.truncate(MAX_ACCEPTED);
    }

    /// Records the size of the newest checkpoint.
    pub(super) fn set_signed(&self, size: u64) {
        self.signed.fetch_max(size, Ordering::Relaxed);
    }

    /// The tag of a batch. `position` is the last event before the batch, if the journal knows it.
    pub(super) fn tag(&self, position: Option<u64>, leaves: &[LeafHash]) -> BatchTag {
        let after = self.signed.load(Ordering::Relaxed).max(position.unwrap_or_default());
        let keys = self.keys.read();
        let code = keys.tagging.iter().flat_map(|key| code(key, after, leaves.iter())).collect();
        BatchTag { after, code }
    }

    /// Whether a journal with one of the keys handed over the batch with these leaves.
    pub(super) fn is_authentic(&self, batch: &StoredBatch, leaves: &[Hash]) -> bool {
        let tag = &batch.tag;
        let keys = self.keys.read();
        let mut expected =
            keys.accepted.iter().map(|key| code(key, tag.after, leaves.iter().map(|leaf| &leaf.0)));
        tag.after < batch.first
            && expected.any(|expected| {
                let same = |code: &[u8]| constant_time::verify_slices_are_equal(code, &expected).is_ok();
                tag.code.chunks_exact(CODE).any(same)
            })
    }
}

fn derive(key: &SigningKey) -> Vec<Key> {
    key.batch_secrets().map(|secret| Key::new(HMAC_SHA256, secret)).collect()
}

fn code<'l>(key: &Key, after: u64, leaves: impl ExactSizeIterator<Item = &'l LeafHash>) -> [u8; CODE] {
    let mut context = Context::with_key(key);
    context.update(&after.to_be_bytes());
    context.update(&(leaves.len() as u64).to_be_bytes());
    leaves.for_each(|leaf| context.update(leaf));
    let mut code = [0; CODE];
    code.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
    code
}

impl fmt::Debug for BatchTagger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchTagger")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32], "logkey.test").unwrap()
    }

    fn batch(first: u64, tag: BatchTag) -> StoredBatch {
        StoredBatch { first, last: first + 1, tag }
    }

    #[test]
    fn only_the_same_events_in_the_same_order_carry_a_tag() {
        let tagger = BatchTagger::new(&key(1));
        let tag = tagger.tag(Some(4), &[[1; 32], [2; 32]]);
        let leaves = [Hash([1; 32]), Hash([2; 32])];
        assert!(tagger.is_authentic(&batch(5, tag.clone()), &leaves));
        assert!(tagger.is_authentic(&batch(9, tag.clone()), &leaves), "other batches may come between");
        assert!(!tagger.is_authentic(&batch(4, tag.clone()), &leaves), "it is not after event 4");
        for other in [&[leaves[1], leaves[0]][..], &leaves[..1], &[leaves[0], leaves[1], leaves[1]], &[]] {
            assert!(!tagger.is_authentic(&batch(5, tag.clone()), other), "{other:?}");
        }
        let moved = BatchTag { after: 3, ..tag.clone() };
        assert!(!tagger.is_authentic(&batch(5, moved), &leaves));
        for code in [&[][..], &[0; 16], &tag.code[..15]] {
            let forged = BatchTag { code: code.to_vec(), ..tag.clone() };
            assert!(!tagger.is_authentic(&batch(5, forged), &leaves));
        }
        assert!(!BatchTagger::new(&key(2)).is_authentic(&batch(5, tag), &leaves));
    }

    #[test]
    fn during_a_rotation_processes_with_either_key_accept_a_tag() {
        let (old, new) = (key(1), key(2));
        let both = BatchTagger::new(&old);
        both.use_key(&new.with_cosigner(&old));
        let tag = both.tag(None, &[[7; 32]]);
        let leaves = [Hash([7; 32])];
        for key in [&old, &new] {
            assert!(BatchTagger::new(key).is_authentic(&batch(1, tag.clone()), &leaves));
        }
        // The process that dropped the old key still accepts what it tagged before.
        let before = BatchTagger::new(&old);
        let tag = before.tag(None, &[[7; 32]]);
        before.use_key(&new);
        assert!(before.is_authentic(&batch(1, tag), &leaves));
    }
}
