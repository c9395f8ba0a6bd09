//! Caches the sessions of all tenants' roles. Concurrent callers share one `AssumeRole` call, a session is
//! renewed before its end while the old one is still used, and idle sessions are removed.
//!
//! There is no timer: the use of a session near its end starts the renewal.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

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
    domain::tenant::Tenants,
};

/// The minimum time between two removals of idle sessions; a new session triggers one.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// The maximum number of cached sessions, and how long an unused one stays.
#[derive(Clone, Copy, Debug)]
pub(in crate::aws) struct CacheLimits {
    pub(in crate::aws) sessions: usize,
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
    swept: Instant,
}

// === impl Sessions ===

impl Sessions {
    pub(in crate::aws) fn new(
        sts: Arc<dyn AssumeRole>,
        attribution: SessionTagging,
        bounds: CacheLimits,
    ) -> Self {
        let table = Mutex::new(SessionTable { entries: HashMap::new(), swept: Instant::now() });
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
        self.table.lock().entries.retain(|key, _| key.is_valid_in(tenants));
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
        table.evict(now, &self.bounds);
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
    /// Removes idle sessions and, if that is not enough, the least recently used quarter.
    fn evict(&mut self, now: Instant, bounds: &CacheLimits) {
        let full = self.entries.len() >= bounds.sessions;
        if full || now >= self.swept + SWEEP_INTERVAL {
            self.swept = now;
            self.entries.retain(|_, entry| entry.last_used() + bounds.idle > now);
        }
        if self.entries.len() < bounds.sessions {
            return;
        }
        let mut uses: Vec<Instant> = self.entries.values().map(|entry| entry.last_used()).collect();
        let quarter = uses.len() / 4;
        let (_, threshold, _) = uses.select_nth_unstable(quarter);
        let threshold = *threshold;
        self.entries.retain(|_, entry| entry.last_used() > threshold);
    }
}
