//! A cache that all tenants fill, with a bound in bytes for each tenant and for all together. What one tenant
//! caches displaces its own entries first.

use std::{collections::HashMap, fmt, hash::Hash, sync::Arc};

use parking_lot::Mutex;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use crate::domain::tenant::TenantId;

/// The share of one tenant: a quarter of the cache.
const SHARES: u64 = 4;
/// The number of tenants from which those without an entry are forgotten.
const SWEEP_AT: usize = 4096;
/// The expected size of an entry, for the first allocation.
const EXPECTED_BYTES: u64 = 4 * 1024;

/// The bounds of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CacheBounds {
    /// The memory of all entries.
    pub(super) bytes: u64,
    /// The number of all entries. With 0 the cache stores nothing.
    pub(super) entries: u64,
}

/// What takes memory in the cache.
pub(super) trait CachedBytes {
    /// The approximate memory of the value with everything that it owns, in bytes.
    fn cached_bytes(&self) -> usize;
}

/// The cache. A key belongs to one tenant.
pub(super) struct SharedCache<K, V> {
    entries: Cache<K, CacheEntry<V>, ByWeight>,
    /// The keys of each tenant with their weights; they decide which of them to displace.
    owners: Mutex<HashMap<TenantId, Arc<KeyIndex<K>>>>,
    bounds: CacheBounds,
}

type KeyIndex<K> = Cache<K, u64, ByWeight, DefaultHashBuilder, EvictionCollector>;

#[derive(Clone)]
struct CacheEntry<V> {
    value: V,
    owner: TenantId,
    weight: u64,
}

#[derive(Clone, Copy, Debug)]
struct ByWeight;

/// Collects what an insertion displaced.
#[derive(Clone, Copy, Debug)]
struct EvictionCollector;

// === impl CacheBounds ===

impl CacheBounds {
    /// The weight of an entry of this size: an entry counts at least as its share of the memory, so that the
    /// number of entries is bounded too.
    fn weight(self, bytes: usize) -> u64 {
        u64::try_from(bytes).unwrap_or(u64::MAX).max(self.bytes.div_ceil(self.entries.max(1)))
    }

    fn of_tenant(self) -> u64 {
        (self.bytes / SHARES).max(self.weight(0))
    }
}

// === impl SharedCache ===

impl<K: Clone + Eq + Hash, V: Clone + CachedBytes> SharedCache<K, V> {
    pub(super) fn new(bounds: CacheBounds) -> Self {
        let entries = usize::try_from((bounds.bytes / EXPECTED_BYTES).min(bounds.entries)).unwrap_or(0);
        let entries = Cache::with_weighter(entries, bounds.bytes, ByWeight);
        Self { entries, owners: Mutex::default(), bounds }
    }

    /// The entry, if it is still cached.
    pub(super) fn find(&self, key: &K) -> Option<V> {
        let found = self.entries.get(key)?;
        let index = self.owners.lock().get(&found.owner).cloned();
        // Marks the key as used, so that others of the tenant are displaced before it.
        index.and_then(|index| index.get(key));
        Some(found.value)
    }

    /// Adds an entry of this tenant.
    pub(super) fn insert(&self, owner: &TenantId, key: K, value: V) {
        if self.bounds.entries == 0 {
            return;
        }
        let weight = self.bounds.weight(value.cached_bytes());
        let mut displaced = Vec::new();
        let index = self.index_of(owner);
        index.insert_with_lifecycle(key.clone(), weight, &mut displaced);
        // The former entry of this key is among those displaced.
        for displaced in displaced.iter().filter(|displaced| **displaced != key) {
            self.entries.remove(displaced);
        }
        if index.contains_key(&key) {
            self.entries.insert(key, CacheEntry { value, owner: owner.clone(), weight });
        }
    }

    /// Removes an entry.
    pub(super) fn forget(&self, key: &K) {
        if let Some((_, removed)) = self.entries.remove(key)
            && let Some(index) = self.owners.lock().get(&removed.owner)
        {
            index.remove(key);
        }
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The memory of all entries, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    fn index_of(&self, owner: &TenantId) -> Arc<KeyIndex<K>> {
        let mut owners = self.owners.lock();
        if let Some(index) = owners.get(owner) {
            return Arc::clone(index);
        }
        if owners.len() >= SWEEP_AT {
            owners.retain(|_, index| !index.is_empty());
        }
        let weight = self.bounds.of_tenant();
        let hasher = DefaultHashBuilder::default();
        // One shard, so that the whole share is for any entry. Most tenants have few entries.
        let mut options = OptionsBuilder::new();
        options.shards(1).estimated_items_capacity(1).weight_capacity(weight);
        let index = match options.build() {
            Ok(options) => Cache::with_options(options, ByWeight, hasher, EvictionCollector),
            Err(_incomplete) => Cache::with(1, weight, ByWeight, hasher, EvictionCollector),
        };
        let index = Arc::new(index);
        owners.insert(owner.clone(), Arc::clone(&index));
        index
    }
}

impl<K, V> fmt::Debug for SharedCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCache").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

// === impl ByWeight ===

impl<K, V> Weighter<K, CacheEntry<V>> for ByWeight {
    fn weight(&self, _key: &K, entry: &CacheEntry<V>) -> u64 {
        entry.weight
    }
}

impl<K> Weighter<K, u64> for ByWeight {
    fn weight(&self, _key: &K, weight: &u64) -> u64 {
        *weight
    }
}

// === impl EvictionCollector ===

impl<K> Lifecycle<K, u64> for EvictionCollector {
    type RequestState = Vec<K>;

    fn on_evict(&self, displaced: &mut Vec<K>, key: K, _weight: u64) {
        displaced.push(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Value(usize);

    impl CachedBytes for Value {
        fn cached_bytes(&self) -> usize {
            self.0
        }
    }

    fn tenant(id: &str) -> TenantId {
        id.parse().unwrap()
    }

    const BOUNDS: CacheBounds = CacheBounds { bytes: 1024 * 1024, entries: 10_000 };

    #[test]
    fn memory_and_entries_are_bounded_in_all() {
        let cache = SharedCache::new(BOUNDS);
        for number in 0..10_000_u32 {
            cache.insert(&tenant(&format!("t{}", number % 50)), number, Value(15_600));
        }
        assert!(cache.bytes() <= BOUNDS.bytes, "{}", cache.bytes());
        assert!(cache.len() > 20, "{}", cache.len());
        let small = SharedCache::new(CacheBounds { entries: 64, ..BOUNDS });
        (0..1_000_u32)
            .for_each(|number| small.insert(&tenant(&format!("t{}", number % 50)), number, Value(1)));
        assert!((1..=64).contains(&small.len()), "{}", small.len());
    }

    #[test]
    fn one_tenant_gets_a_quarter_and_displaces_only_its_own_entries() {
        // As large as in the service, so that no part of the cache is full before the whole is.
        let bounds = CacheBounds { bytes: 32 * 1024 * 1024, ..BOUNDS };
        let cache = SharedCache::new(bounds);
        let (quiet, greedy) = (tenant("quiet"), tenant("greedy"));
        (0..20_u32).for_each(|number| cache.insert(&quiet, number, Value(2_000)));
        (1_000..9_000_u32).for_each(|number| cache.insert(&greedy, number, Value(15_600)));
        let kept = (0..20).filter(|number| cache.find(number).is_some()).count();
        assert_eq!(kept, 20);
        let of_greedy = (1_000..9_000).filter(|number| cache.find(number).is_some()).count();
        assert!((1..=537).contains(&of_greedy), "{of_greedy}");
    }

    #[test]
    fn an_entry_is_found_until_it_is_forgotten() {
        let cache = SharedCache::new(BOUNDS);
        cache.insert(&tenant("a"), 1, Value(7));
        assert_eq!(cache.find(&1), Some(Value(7)));
        // The tenant's index may still have a key that was displaced among all tenants.
        cache.entries.remove(&1);
        cache.insert(&tenant("a"), 1, Value(8));
        assert_eq!(cache.find(&1), Some(Value(8)));
        cache.forget(&1);
        assert_eq!((cache.find(&1), cache.len()), (None, 0));
        let nothing = SharedCache::new(CacheBounds { entries: 0, ..BOUNDS });
        nothing.insert(&tenant("a"), 1, Value(7));
        assert_eq!(nothing.len(), 0);
    }
}
