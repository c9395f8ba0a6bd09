//! A bounded map that drops the entries that were not used recently.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    mem,
};

use parking_lot::{Mutex, MutexGuard};

/// The number of shards. Each has its own lock, so that concurrent readers rarely wait for each other.
const SHARDS: usize = 16;

/// A map with an approximate capacity, in two generations. New and used entries are in the young generation.
/// When it is full, it becomes the old generation, and the entries of the previous old one are dropped.
#[derive(Debug)]
pub(super) struct TwoGenCache<K, V> {
    shards: [Mutex<Generations<K, V>>; SHARDS],
    half: usize,
    hasher: RandomState,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

// === impl TwoGenCache ===

impl<K: Hash + Eq, V: Clone> TwoGenCache<K, V> {
    /// A cache for about `capacity` entries. With 0 it stores nothing.
    pub(super) fn new(capacity: usize) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, half: capacity.div_ceil(2 * SHARDS), hasher: RandomState::new() }
    }

    /// The entry, if it is still cached. Moves it to the young generation.
    pub(super) fn find(&self, key: &K) -> Option<V> {
        let mut generations = self.shard(key);
        if let Some(found) = generations.young.get(key) {
            return Some(found.clone());
        }
        let (key, found) = generations.old.remove_entry(key)?;
        generations.insert(key, found.clone(), self.half);
        Some(found)
    }

    /// Adds an entry.
    pub(super) fn insert(&self, key: K, value: V) {
        if self.half > 0 {
            self.shard(&key).insert(key, value, self.half);
        }
    }

    /// Removes an entry.
    pub(super) fn forget(&self, key: &K) {
        let mut generations = self.shard(key);
        generations.young.remove(key);
        generations.old.remove(key);
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        let len =
            |generations: MutexGuard<'_, Generations<K, V>>| generations.young.len() + generations.old.len();
        self.shards.iter().map(|shard| len(shard.lock())).sum()
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Generations<K, V>> {
        let index = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default();
        let [first, ..] = &self.shards;
        self.shards.get(index).unwrap_or(first).lock()
    }
}

// === impl Generations ===

impl<K: Hash + Eq, V> Generations<K, V> {
    fn insert(&mut self, key: K, value: V, half: usize) {
        if self.young.len() >= half {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}
