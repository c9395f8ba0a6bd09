//! The leaf hashes of what was kept a moment ago: handed over by the journal, so that the sequencer need
//! not read back what is still in memory. Bounded; for what is not here the store is read.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tlog_tiles::Hash;

/// Most hashes that wait: those of some seconds under the greatest load, in 2 MiB.
const CAPACITY: usize = 1 << 16;

/// Hashes without a gap between them, the oldest first.
#[derive(Debug, Default)]
pub struct LeafCache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The place in the log of the oldest one.
    first: u64,
    hashes: VecDeque<Hash>,
}

// === impl Tail ===

impl LeafCache {
    /// Adds the hashes of events that are durable, the first of them at this place.
    pub(super) fn push(&self, first: u64, hashes: Vec<Hash>) {
        let mut inner = self.lock();
        if inner.next() != first || inner.hashes.len() >= CAPACITY {
            // What is missing in between, or was waited for too long, is read from the store.
            inner.hashes.clear();
            inner.first = first;
        }
        inner.hashes.extend(hashes);
    }

    /// Forgets the first `size` events of the log, and tells what comes after them, at most `most`; nothing
    /// where the next one is not here.
    pub(super) fn after(&self, size: u64, max: usize) -> Vec<Hash> {
        let mut inner = self.lock();
        let cached = size.saturating_add(1).saturating_sub(inner.first);
        let cached = usize::try_from(cached).unwrap_or(usize::MAX).min(inner.hashes.len());
        inner.hashes.drain(..cached);
        inner.first += cached as u64;
        if inner.first != size.saturating_add(1) {
            return Vec::new();
        }
        inner.hashes.iter().take(max).copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under the lock leaves it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl Inner {
    /// The place of the event that would follow.
    fn next(&self) -> u64 {
        self.first + self.hashes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(numbers: impl IntoIterator<Item = u8>) -> Vec<Hash> {
        numbers.into_iter().map(|n| Hash([n; 32])).collect()
    }

    #[test]
    fn what_follows_a_tree_is_told_in_order_and_as_much_as_is_asked_for() {
        let tail = LeafCache::default();
        tail.push(1, hashes([1, 2]));
        tail.push(3, hashes([3]));
        assert_eq!(tail.after(0, 2), hashes([1, 2]));
        assert_eq!(tail.after(2, 2), hashes([3]));
        assert_eq!(tail.after(3, 2), hashes([]));
        tail.push(4, hashes([4]));
        assert_eq!(tail.after(3, 2), hashes([4]));
    }

    #[test]
    fn what_is_not_here_is_not_guessed() {
        let tail = LeafCache::default();
        tail.push(5, hashes([5]));
        assert_eq!(tail.after(2, 9), hashes([]), "3 and 4 were not seen");
        tail.push(8, hashes([8]));
        assert_eq!(tail.after(4, 9), hashes([]), "a gap forgets what was before it");
        assert_eq!(tail.after(7, 9), hashes([8]));
    }

    #[test]
    fn nobody_who_takes_it_costs_no_more_than_a_bound() {
        let tail = LeafCache::default();
        for first in 0..2 * CAPACITY as u64 {
            tail.push(1 + first, hashes([0]));
        }
        assert!(tail.lock().hashes.len() <= CAPACITY);
    }
}
