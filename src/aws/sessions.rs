//! Caches the sessions of all tenants' roles. Concurrent callers share one `AssumeRole` call, a session is
//! renewed before its end while the old one is still used, and idle sessions are removed.
//!
//! There is no timer: the use of a session near its end starts the renewal.

#[cfg(any(test, feature = "testing"))]
pub(super) mod bench_support;
mod entry;
mod key;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_sdk_sts::config::SharedCredentialsProvider;
use tokio::time::{Instant, timeout_at};

use self::entry::{Entry, Lookup, SharedResult};
pub(super) use self::key::SessionKey;
use super::{
    config::SessionTagging,
    session_name::SessionName,
    sts::{AssumeRole, AssumedSession, SessionError},
};
use crate::domain::{aws::RoleArn, tenant::Tenants};

/// The minimum time between two removals of idle sessions; a new session triggers one.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// A session is renewed at least this long before its end, minus a jitter of up to half of it.
const MIN_RENEW_AHEAD: Duration = Duration::from_secs(20);

/// The maximum number of cached sessions, and how long an unused one stays.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheLimits {
    pub(super) sessions: usize,
    pub(super) idle: Duration,
}

/// A session of an assumed role.
pub(super) struct Session {
    pub(super) role: RoleArn,
    pub(super) name: SessionName,
    pub(super) credentials: SharedCredentialsProvider,
    renew: Instant,
    end: Instant,
}

/// The session cache.
pub(super) struct Sessions {
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
    pub(super) fn new(sts: Arc<dyn AssumeRole>, attribution: SessionTagging, bounds: CacheLimits) -> Self {
        let table = Mutex::new(SessionTable { entries: HashMap::new(), swept: Instant::now() });
        Self { sts, attribution, bounds, table }
    }

    /// Whether a session carries the name of the tenant or of the caller.
    pub(super) fn attribution(&self) -> SessionTagging {
        self.attribution
    }

    /// The session for this key. If there is none, waits for an `AssumeRole` call, at most until `deadline`.
    pub(super) async fn get(
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
    pub(super) fn forget(&self, key: &SessionKey, expired: &Arc<Session>) {
        if let Some(entry) = self.table().entries.get(key) {
            entry.forget(expired);
        }
    }

    /// Removes every session that no tenant's grant uses any longer.
    pub(super) fn retain_tenants(&self, tenants: &Tenants) {
        self.table().entries.retain(|key, _| key.is_valid_in(tenants));
    }

    /// The number of cached sessions.
    pub(super) fn len(&self) -> usize {
        self.table().entries.len()
    }

    fn entry(&self, key: &SessionKey) -> Arc<Entry> {
        let now = Instant::now();
        let mut table = self.table();
        if let Some(entry) = table.entries.get(key) {
            entry.used(now);
            return Arc::clone(entry);
        }
        table.evict(now, &self.bounds);
        let entry = Arc::new(Entry::new(key.assume_role_input(), now));
        table.entries.insert(key.clone(), Arc::clone(&entry));
        entry
    }

    fn table(&self) -> MutexGuard<'_, SessionTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
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

// === impl Session ===

impl Session {
    fn new(role: RoleArn, name: SessionName, assumed: AssumedSession, now: Instant) -> Self {
        // A session of an hour is renewed 18 to 45 seconds before its end. That is early enough for a few
        // attempts, and late enough to need hardly more sessions than their lifetimes require. It is random,
        // so that sessions that began together are not renewed together.
        let share = assumed.lifetime.mul_f64(rand::random_range(0.005..0.0125));
        let ahead = share.max(MIN_RENEW_AHEAD.mul_f64(rand::random_range(0.5..1.0)));
        let end = now + assumed.lifetime;
        Self {
            role,
            name,
            credentials: SharedCredentialsProvider::new(assumed.credentials),
            renew: end.checked_sub(ahead).unwrap_or(end),
            end,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("role", &self.role).field("name", &self.name).finish_non_exhaustive()
    }
}
