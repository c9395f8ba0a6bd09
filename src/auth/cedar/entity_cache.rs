//! Caches Cedar values that consecutive requests are likely to share: the caller, the source address and the
//! time.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwapOption;

use super::engine::values::{Entity, Value};
use crate::{
    auth::two_gen_cache::TwoGenCache,
    domain::{
        principal::{Delegation, PolicyClaims, Principal, Scopes},
        tenant::TenantId,
        time::Timestamp,
    },
    ports::Clock,
};

/// How many callers are cached. Each takes a few kilobytes.
const CALLERS: usize = 2048;
/// How many source addresses are cached.
const ADDRESSES: usize = 1024;

/// The cache, shared by all requests.
pub(super) struct EntityCache {
    clock: Arc<dyn Clock>,
    now: ArcSwapOption<CachedTime>,
    callers: TwoGenCache<CallerKey, Entity>,
    addresses: TwoGenCache<IpAddr, Value>,
}

/// The time in Cedar's types, computed once a second.
#[derive(Clone, Debug)]
pub(super) struct CachedTime {
    at: i64,
    pub(super) now: Value,
    pub(super) hour: Value,
    pub(super) weekday: Value,
}

/// The attributes of a caller that policies can use.
#[derive(PartialEq, Eq, Hash)]
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
            callers: TwoGenCache::new(CALLERS),
            addresses: TwoGenCache::new(ADDRESSES),
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
            return found;
        }
        let entity = build(principal);
        self.callers.insert(key, entity.clone());
        entity
    }

    pub(super) fn address(&self, source: IpAddr) -> Option<Value> {
        if let Some(found) = self.addresses.find(&source) {
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
