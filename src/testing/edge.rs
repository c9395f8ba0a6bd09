//! Fakes of everything but AWS.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    domain::{
        audit::{Entry, Event, EventId, Kind, Settlement},
        authorization::{About, Decision, Denial, Question, Whose},
        principal::{CertificateThumbprint, Principal, Scope},
        reason::Reason,
        tenant::{Tenant, TenantId},
        time::Timestamp,
    },
    ports::{
        Admission, AuditLog, AuditUnavailable, Authenticate, AuthnError, Authorize, Clock, NoTurn,
        OpenChange, OpenChanges, OverQuota, Pace, QuotaState, TenantDirectory, TenantQuota, Turn,
        Unavailable,
        limit::{Cost, Feedback, Held, Lane},
    },
    testing::FakeHistory,
};

/// Accepts one token.
#[derive(Debug)]
pub struct FakeAuthn {
    token: &'static str,
    principal: Arc<Principal>,
}

/// Knows the tenants it was given.
#[derive(Debug, Default)]
pub struct FakeTenants(pub Vec<Arc<Tenant>>);

/// Permits whatever a grant opens, unless it was told to forbid.
#[derive(Clone, Copy, Debug, Default)]
pub struct FakePolicy {
    /// Whether a policy named `forbidden` stands against everything.
    pub forbids: bool,
}

/// Admits everyone.
#[derive(Clone, Copy, Debug, Default)]
pub struct FakeQuota;

/// Gives every turn at once, or none, or so many, and remembers how each was used.
#[derive(Debug, Default)]
pub struct FakePace {
    none_before: Option<Duration>,
    left: Mutex<Option<u32>>,
    used: Arc<Mutex<Vec<Feedback>>>,
}

/// Keeps entries in memory; fails or hangs when told so.
#[derive(Debug, Default)]
pub struct FakeAudit {
    entries: Mutex<Vec<(EventId, Entry)>>,
    notes: Mutex<Vec<Event>>,
    behaviour: Mutex<Behaviour>,
    /// What the entries made true.
    pub history: Arc<FakeHistory>,
}

/// What [`FakeAudit`] does with the next entries.
#[derive(Clone, Copy, Debug, Default)]
enum Behaviour {
    #[default]
    Keep,
    Fail,
    Hang {
        after: usize,
    },
}

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct FakeClock(AtomicI64);

// === impl FakeAuthn ===

impl FakeAuthn {
    /// Accepts `token` as coming from `principal`.
    #[must_use]
    pub fn accepting(token: &'static str, principal: Principal) -> Self {
        Self { token, principal: Arc::new(principal) }
    }
}

#[async_trait]
impl Authenticate for FakeAuthn {
    async fn authenticate(
        &self,
        unverified_token: &str,
        _certificate: Option<&CertificateThumbprint>,
    ) -> Result<Arc<Principal>, AuthnError> {
        if unverified_token == self.token {
            Ok(Arc::clone(&self.principal))
        } else {
            Err(AuthnError::Refused { why: "another token", token_id: "hash".into() })
        }
    }

    fn knows(&self, unverified_token: &str) -> bool {
        unverified_token == self.token
    }

    fn unready(&self) -> Vec<String> {
        Vec::new()
    }
}

// === impl FakeTenants ===

impl TenantDirectory for FakeTenants {
    fn find(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.iter().find(|tenant| tenant.id == *id).cloned()
    }

    fn spoken_for(&self, _issuer: &str, unverified_claim_value: &str) -> Option<Arc<Tenant>> {
        let means =
            |tenant: &&Arc<Tenant>| tenant.claim_values.iter().any(|v| **v == *unverified_claim_value);
        self.0.iter().find(means).cloned()
    }
}

// === impl FakePolicy ===

impl Authorize for FakePolicy {
    fn decide(&self, question: &Question<'_>) -> Decision {
        let opened = match question.about {
            About::Aws { grant, place: _, target } => {
                target.is_none_or(|target| grant.opens(target))
                    && question.key.is_none_or(|key| grant.opens_key(key))
            }
            About::AuditLog(Whose::Own) | About::Tenant | About::Account(_) => true,
            About::AuditLog(Whose::All) => question.principal.scopes.contains(Scope::Admin),
        };
        if self.forbids {
            Decision::Deny(Denial::Forbidden { policies: vec!["forbidden".into()] })
        } else if opened {
            Decision::Allow { policies: vec!["grant".into()] }
        } else {
            Decision::Deny(Denial::NotPermitted)
        }
    }
}

// === impl FakeQuota ===

#[async_trait]
impl TenantQuota for FakeQuota {
    async fn admit(&self, tenant: &Tenant, _cost: Cost) -> Result<Admission, OverQuota> {
        Ok(Admission { state: self.state(tenant), place: Held::nothing() })
    }

    fn state(&self, tenant: &Tenant) -> QuotaState {
        QuotaState { remaining: tenant.limits.burst.get(), reset: Duration::ZERO, in_flight: 1 }
    }
}

// === impl FakePace ===

impl FakePace {
    /// One that has no turn before this long.
    #[must_use]
    pub fn without_turns(before: Duration) -> Self {
        Self { none_before: Some(before), ..Self::default() }
    }

    /// Gives this many more turns, and then none.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn has_left(&self, turns: u32) {
        *self.left.lock().unwrap() = Some(turns);
    }

    /// How each turn was used.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    #[must_use]
    pub fn used(&self) -> Vec<Feedback> {
        self.used.lock().unwrap().clone()
    }
}

#[async_trait]
impl Pace for FakePace {
    async fn turn(&self, _: &Lane, _: &TenantId, _: Instant) -> Result<Turn, NoTurn> {
        if let Some(retry_after) = self.none_before {
            return Err(NoTurn { retry_after });
        }
        if let Some(left) = &mut *self.left.lock().unwrap() {
            *left = left.checked_sub(1).ok_or(NoTurn { retry_after: Duration::from_secs(1) })?;
        }
        let used = Arc::clone(&self.used);
        Ok(Turn::new(move |feedback| used.lock().unwrap().push(feedback)))
    }
}

// === impl FakeAudit ===

impl FakeAudit {
    /// Refuses every entry from now on.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn fail(&self) {
        *self.behaviour.lock().unwrap() = Behaviour::Fail;
    }

    /// Keeps `after` more entries and answers to none after them.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn hang_after(&self, after: usize) {
        let kept = self.entries.lock().unwrap().len();
        *self.behaviour.lock().unwrap() = Behaviour::Hang { after: kept + after };
    }

    /// Every entry that was kept.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().iter().map(|(_, entry)| entry.clone()).collect()
    }

    /// Every event that nobody waited for.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn notes(&self) -> Vec<Event> {
        self.notes.lock().unwrap().clone()
    }
}

#[async_trait]
impl AuditLog for FakeAudit {
    async fn commit(&self, entry: Entry) -> Result<EventId, AuditUnavailable> {
        let behaviour = *self.behaviour.lock().unwrap();
        let kept = self.entries.lock().unwrap().len();
        match behaviour {
            Behaviour::Fail => return Err(AuditUnavailable(None)),
            Behaviour::Hang { after } if kept >= after => std::future::pending::<()>().await,
            Behaviour::Keep | Behaviour::Hang { .. } => {}
        }
        let id = EventId(Uuid::now_v7());
        self.history.take(id, &entry);
        self.entries.lock().unwrap().push((id, entry));
        Ok(id)
    }

    fn note(&self, event: Event) {
        self.notes.lock().unwrap().push(event);
    }

    fn unready(&self) -> Option<String> {
        None
    }
}

#[async_trait]
impl OpenChanges for FakeAudit {
    async fn open(&self, before: Timestamp) -> Result<Vec<OpenChange>, Unavailable> {
        let entries = self.entries.lock().unwrap();
        let ends = |entry: &Entry| match entry.event.kind {
            Kind::Outcome => {
                entry.event.end.as_ref().and_then(|end| end.failure) != Some(Reason::OutcomeUnknown)
            }
            Kind::Settled(_) => true,
            Kind::Intent | Kind::Read | Kind::Refusal | Kind::Lifecycle => false,
        };
        let closed = |id| entries.iter().any(|(_, entry)| ends(entry) && entry.event.closes == Some(id));
        let open = entries.iter().filter(|(id, entry)| {
            entry.event.kind == Kind::Intent && entry.event.time < before && !closed(*id)
        });
        Ok(open.map(|(id, entry)| OpenChange { intent: *id, event: entry.event.clone() }).collect())
    }

    async fn begun(&self, intent: EventId) -> Result<Option<OpenChange>, Unavailable> {
        let entries = self.entries.lock().unwrap();
        let found = entries.iter().find(|(id, _)| *id == intent);
        Ok(found.map(|(id, entry)| OpenChange { intent: *id, event: entry.event.clone() }))
    }

    async fn settled(&self, change: &OpenChange) -> Result<Option<(Settlement, EventId)>, Unavailable> {
        let entries = self.entries.lock().unwrap();
        let settles = |(id, entry): &(EventId, Entry)| match entry.event.kind {
            Kind::Settled(settlement) => {
                (entry.event.closes == Some(change.intent)).then_some((settlement, *id))
            }
            Kind::Intent | Kind::Outcome | Kind::Read | Kind::Refusal | Kind::Lifecycle => None,
        };
        Ok(entries.iter().find_map(settles))
    }
}

// === impl FakeClock ===

impl FakeClock {
    /// Moves it on.
    ///
    /// # Panics
    ///
    /// If that is longer than the clock can tell.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), SeqCst);
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self(AtomicI64::new(1_700_000_000_000_000))
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(SeqCst))
    }
}
