//! Caches the sessions of all tenants' roles. Concurrent callers share one `AssumeRole` call, a session is
//! renewed before its end while the old one is still used, and idle sessions are removed.
//!
//! There is no timer: the use of a session near its end starts the renewal.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::{
    entry::{Entry, Lookup, SharedResult},
    key::SessionKey,
    session::Session,
};
use crate::{
    aws::{
        config::SessionTagging,
        sts::{assume_role::AssumeRole, session_error::SessionError},
    },
    domain::tenant::{TenantId, Tenants},
};

/// The minimum time between two removals of idle sessions; a new session triggers one.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// The maximum numbers of cached sessions, and how long an unused one stays.
#[derive(Clone, Copy, Debug)]
pub(in crate::aws) struct CacheLimits {
    pub(in crate::aws) sessions: usize,
    pub(in crate::aws) of_tenant: usize,
    pub(in crate::aws) idle: Duration,
}

/// The session cache.
pub(in crate::aws) struct Sessions {
    sts: Arc<dyn AssumeRole>,
    attribution: SessionTagging,
    bounds: CacheLimits,
    table: Mutex<SessionTable>,
}

struct SessionTable {
    entries: HashMap<SessionKey, Arc<Entry>>,
    of_tenant: HashMap<TenantId, usize>,
    swept: Instant,
}

// === impl Sessions ===

impl Sessions {
    pub(in crate::aws) fn new(
        sts: Arc<dyn AssumeRole>,
        attribution: SessionTagging,
        bounds: CacheLimits,
    ) -> Self {
        let table = Mutex::new(SessionTable {
            entries: HashMap::new(),
            of_tenant: HashMap::new(),
            swept: Instant::now(),
        });
        Self { sts, attribution, bounds, table }
    }

    /// Whether a session carries the name of the tenant or of the caller.
    pub(in crate::aws) fn attribution(&self) -> SessionTagging {
        self.attribution
    }

    /// The session for this key. If there is none, waits for an `AssumeRole` call, at most until `deadline`.
    pub(in crate::aws) async fn get(
        &self,
        key: &SessionKey,
        deadline: Instant,
    ) -> Result<Arc<Session>, Arc<SessionError>> {
        let mut flight: SharedResult = match self.entry(key).find(&self.sts) {
            Lookup::Session(session) => return Ok(session),
            Lookup::Failure(error) => return Err(error),
            Lookup::Flight(flight) => flight,
        };
        match timeout_at(deadline, flight.wait_for(Option::is_some)).await {
            Ok(Ok(landed)) => match &*landed {
                Some(result) => result.clone(),
                None => Err(Arc::new(SessionError::TooLate)),
            },
            Ok(Err(crashed)) => Err(Arc::new(SessionError::Unreachable(Arc::new(crashed)))),
            Err(_elapsed) => Err(Arc::new(SessionError::TooLate)),
        }
    }

    /// Removes this session, unless a newer one replaced it: AWS reported that it has expired.
    pub(in crate::aws) fn forget(&self, key: &SessionKey, expired: &Arc<Session>) {
        if let Some(entry) = self.table.lock().entries.get(key) {
            entry.forget(expired);
        }
    }

    /// Removes every session that no tenant's grant uses any longer.
    pub(in crate::aws) fn retain_tenants(&self, tenants: &Tenants) {
        self.table.lock().retain(|key, _| key.is_valid_in(tenants));
    }

    /// The number of cached sessions.
    pub(in crate::aws) fn len(&self) -> usize {
        self.table.lock().entries.len()
    }

    fn entry(&self, key: &SessionKey) -> Arc<Entry> {
        let now = Instant::now();
        let mut table = self.table.lock();
        if let Some(entry) = table.entries.get(key) {
            entry.used(now);
            return Arc::clone(entry);
        }
        table.evict(now, &self.bounds, &key.tenant);
        *table.of_tenant.entry(key.tenant.clone()).or_default() += 1;
        let entry = Arc::new(Entry::new(key.assume_role_input(), now));
        table.entries.insert(key.clone(), Arc::clone(&entry));
        entry
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("len", &self.len()).finish_non_exhaustive()
    }
}

// === impl SessionTable ===

impl SessionTable {
    /// Makes room for a session of this tenant: removes idle sessions and, if that is not enough, the least
    /// recently used quarter of the tenant's own sessions, or of those of the tenants that have most.
    fn evict(&mut self, now: Instant, bounds: &CacheLimits, tenant: &TenantId) {
        let has_room = |table: &Self| {
            let own = table.of_tenant.get(tenant).copied().unwrap_or_default();
            (own < bounds.of_tenant, table.entries.len() < bounds.sessions)
        };
        if has_room(self) != (true, true) || now >= self.swept + SWEEP_INTERVAL {
            self.swept = now;
            self.retain(|_, entry| entry.last_used() + bounds.idle > now);
        }
        match has_room(self) {
            (true, true) => {}
            (false, _) => self.evict_quarter(|other, _| other == tenant),
            (true, false) => {
                let average = self.entries.len() / self.of_tenant.len().max(1);
                self.evict_quarter(|_, sessions| sessions >= average);
            }
        }
    }

    /// Removes the least recently used quarter of the sessions of these tenants.
    fn evict_quarter(&mut self, is_affected: impl Fn(&TenantId, usize) -> bool) {
        let affected = self.of_tenant.iter().filter(|(tenant, sessions)| is_affected(tenant, **sessions));
        let affected: HashSet<TenantId> = affected.map(|(tenant, _)| tenant.clone()).collect();
        let own = self.entries.iter().filter(|(key, _)| affected.contains(&key.tenant));
        let mut uses: Vec<Instant> = own.map(|(_, entry)| entry.last_used()).collect();
        if uses.is_empty() {
            return;
        }
        let quarter = uses.len() / 4;
        let (_, threshold, _) = uses.select_nth_unstable(quarter);
        let threshold = *threshold;
        self.retain(|key, entry| !affected.contains(&key.tenant) || entry.last_used() > threshold);
    }

    fn retain(&mut self, is_kept: impl Fn(&SessionKey, &Entry) -> bool) {
        let of_tenant = &mut self.of_tenant;
        of_tenant.clear();
        self.entries.retain(|key, entry| {
            let is_kept = is_kept(key, entry);
            if is_kept {
                *of_tenant.entry(key.tenant.clone()).or_default() += 1;
            }
            is_kept
        });
    }
}
