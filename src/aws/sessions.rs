//! The sessions of all tenants' roles: each asked for once, renewed ahead while the old one serves,
//! forgotten when idle.
//!
//! Nothing runs by a timer: a session is renewed because someone uses it near its end.

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

/// How often idle sessions are looked for, at most; a new session is the occasion.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// How long before its end a short session is renewed, at most.
const MIN_LIFETIME: Duration = Duration::from_secs(20);

/// How many sessions are kept, and for how long one that nobody uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheLimits {
    pub(super) sessions: usize,
    pub(super) idle: Duration,
}

/// A role that has been assumed.
pub(super) struct Session {
    pub(super) role: RoleArn,
    pub(super) name: SessionName,
    pub(super) credentials: SharedCredentialsProvider,
    renew: Instant,
    end: Instant,
}

/// The sessions.
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

    /// Whose name sessions bear.
    pub(super) fn attribution(&self) -> SessionTagging {
        self.attribution
    }

    /// The session for this key, waited for until `deadline` where there is none.
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

    /// Forgets this session, if it is still the one kept: AWS says that it is over.
    pub(super) fn forget(&self, key: &SessionKey, over: &Arc<Session>) {
        if let Some(entry) = self.table().entries.get(key) {
            entry.forget(over);
        }
    }

    /// Forgets every session that no tenant's grant asks for any longer.
    pub(super) fn retain_tenants(&self, tenants: &Tenants) {
        self.table().entries.retain(|key, _| key.is_valid_in(tenants));
    }

    /// How many sessions are kept.
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

// === impl Table ===

impl SessionTable {
    /// Drops what is idle and, where that is not enough, the quarter that was used longest ago.
    fn evict(&mut self, now: Instant, bounds: &CacheLimits) {
        let full = self.entries.len() >= bounds.sessions;
        if full || now >= self.swept + SWEEP_EVERY {
            self.swept = now;
            self.entries.retain(|_, entry| entry.last_used() + bounds.idle > now);
        }
        if self.entries.len() < bounds.sessions {
            return;
        }
        let mut uses: Vec<Instant> = self.entries.values().map(|entry| entry.last_used()).collect();
        let quarter = uses.len() / 4;
        let (_, oldest_stored, _) = uses.select_nth_unstable(quarter);
        let oldest_stored = *oldest_stored;
        self.entries.retain(|_, entry| entry.last_used() > oldest_stored);
    }
}

// === impl Session ===

impl Session {
    fn new(role: RoleArn, name: SessionName, granted: AssumedSession, now: Instant) -> Self {
        // For an hour, 18 to 45 seconds before its end: early enough for a few attempts, each time another
        // moment, so that sessions that began together are not renewed together, and late enough that
        // hardly more are asked for than their lifetimes need.
        let share = granted.lifetime.mul_f64(rand::random_range(0.005..0.0125));
        let ahead = share.max(MIN_LIFETIME.mul_f64(rand::random_range(0.5..1.0)));
        let end = now + granted.lifetime;
        Self {
            role,
            name,
            credentials: SharedCredentialsProvider::new(granted.credentials),
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
