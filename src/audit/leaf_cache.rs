//! The leaf hashes of events that just became durable. The journal adds them, so that the sequencer need not
//! read those events from the store. The cache is bounded; the sequencer reads missing events from the store.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tlog_tiles::Hash;

/// The largest number of cached hashes: a few seconds of the highest load, in 2 MiB.
const CAPACITY: usize = 1 << 16;

/// Hashes of consecutive events, oldest first.
#[derive(Debug, Default)]
pub struct LeafCache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The position of the oldest cached event.
    first: u64,
    hashes: VecDeque<Hash>,
}

// === impl LeafCache ===

impl LeafCache {
    /// Adds the hashes of durable events. `first` is the position of the first one.
    pub(super) fn push(&self, first: u64, hashes: Vec<Hash>) {
        let mut inner = self.inner.lock();
        if inner.next() != first || inner.hashes.len() >= CAPACITY {
            // There is a gap, or the sequencer is too far behind. It reads from the store instead.
            inner.hashes.clear();
            inner.first = first;
        }
        inner.hashes.extend(hashes);
    }

    /// Drops the first `size` events of the log and returns up to `max` hashes that follow them. The result
    /// is empty if the next event is not cached.
    pub(super) fn after(&self, size: u64, max: usize) -> Vec<Hash> {
        let mut inner = self.inner.lock();
        let cached = size.saturating_add(1).saturating_sub(inner.first);
        let cached = usize::try_from(cached).unwrap_or(usize::MAX).min(inner.hashes.len());
        inner.hashes.drain(..cached);
        inner.first += cached as u64;
        if inner.first != size.saturating_add(1) {
            return Vec::new();
        }
        inner.hashes.iter().take(max).copied().collect()
    }
}

// === impl Inner ===

impl Inner {
    /// The position of the next event to be added.
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
    fn the_hashes_after_a_size_are_returned_in_order_up_to_the_limit() {
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
    fn a_gap_yields_no_hashes() {
        let tail = LeafCache::default();
        tail.push(5, hashes([5]));
        assert_eq!(tail.after(2, 9), hashes([]), "3 and 4 were never added");
        tail.push(8, hashes([8]));
        assert_eq!(tail.after(4, 9), hashes([]), "a gap drops the hashes before it");
        assert_eq!(tail.after(7, 9), hashes([8]));
    }

    #[test]
    fn the_cache_stays_bounded_without_a_reader() {
        let tail = LeafCache::default();
        for first in 0..2 * CAPACITY as u64 {
            tail.push(1 + first, hashes([0]));
        }
        assert!(tail.inner.lock().hashes.len() <= CAPACITY);
    }
}
