//! Caches Cedar values that consecutive requests are likely to share: the caller, the source address and the
//! time.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwapOption;
use quick_cache::sync::Cache;

use super::engine::values::{Entity, Value};
use crate::{
    auth::shared_cache::{CacheBounds, CachedBytes, SharedCache},
    domain::{
        principal::{Delegation, PolicyClaims, Principal, Scopes},
        tenant::TenantId,
        time::Timestamp,
    },
    ports::Clock,
};

/// How many callers are cached, and the memory that they take.
const CALLERS: CacheBounds = CacheBounds { bytes: 16 * 1024 * 1024, entries: 2048 };
/// The memory of an entity for each byte of its caller's token.
const ENTITY_FACTOR: usize = 4;
/// How many source addresses are cached.
const ADDRESSES: usize = 1024;

/// The cache, shared by all requests.
pub(super) struct EntityCache {
    clock: Arc<dyn Clock>,
    now: ArcSwapOption<CachedTime>,
    callers: SharedCache<CallerKey, CachedEntity>,
    addresses: Cache<IpAddr, Value>,
}

/// The time in Cedar's types, computed once a second.
#[derive(Clone, Debug)]
pub(super) struct CachedTime {
    at: i64,
    pub(super) now: Value,
    pub(super) hour: Value,
    pub(super) weekday: Value,
}

/// An entity, with the memory of what it was built from.
#[derive(Clone)]
struct CachedEntity {
    entity: Entity,
    bytes: usize,
}

/// The attributes of a caller that policies can use.
#[derive(Clone, PartialEq, Eq, Hash)]
struct CallerKey {
    tenant: TenantId,
    subject: Arc<str>,
    issuer: Arc<str>,
    scopes: Scopes,
    claims: PolicyClaims,
    delegation: Option<Delegation>,
}

// === impl EntityCache ===

impl EntityCache {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            now: ArcSwapOption::empty(),
            callers: SharedCache::new(CALLERS),
            addresses: Cache::new(ADDRESSES),
        }
    }

    /// The caller's entity. Calls `build` if it is not cached.
    pub(super) fn caller(&self, principal: &Principal, build: impl FnOnce(&Principal) -> Entity) -> Entity {
        let Principal { tenant, subject, issuer, scopes, claims, delegation, token_id: _, expires: _ } =
            principal;
        let key = CallerKey {
            tenant: tenant.clone(),
            subject: Arc::clone(subject),
            issuer: Arc::clone(issuer),
            scopes: scopes.clone(),
            claims: claims.clone(),
            delegation: delegation.clone(),
        };
        if let Some(found) = self.callers.find(&key) {
            return found.entity;
        }
        let cached = CachedEntity { entity: build(principal), bytes: principal.heap_bytes() };
        self.callers.insert(tenant, key, cached.clone());
        cached.entity
    }

    pub(super) fn address(&self, source: IpAddr) -> Option<Value> {
        if let Some(found) = self.addresses.get(&source) {
            return Some(found);
        }
        let address = Value::ip(source.to_canonical())?;
        self.addresses.insert(source, address.clone());
        Some(address)
    }

    pub(super) fn now(&self) -> Option<Arc<CachedTime>> {
        let now = self.clock.now().as_secs();
        if let Some(last) = &*self.now.load()
            && last.at == now
        {
            return Some(Arc::clone(last));
        }
        let now = Arc::new(CachedTime::at(now)?);
        self.now.store(Some(Arc::clone(&now)));
        Some(now)
    }
}

impl CachedBytes for CachedEntity {
    fn cached_bytes(&self) -> usize {
        self.bytes.saturating_mul(ENTITY_FACTOR)
    }
}

impl CachedTime {
    fn at(secs: i64) -> Option<Self> {
        const DAYS: [&str; 7] =
            ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
        let now = Timestamp::from_secs(secs).to_string();
        let (seconds, _) = now.split_once('.')?;
        let day = usize::try_from(secs.div_euclid(86_400).rem_euclid(7)).ok()?;
        Some(Self {
            at: secs,
            now: Value::datetime(&format!("{seconds}Z"))?,
            hour: Value::long(secs.rem_euclid(86_400).div_euclid(3_600)),
            weekday: Value::string(DAYS.get(day)?),
        })
    }
}
