//! Fakes of tenants, policy, limits, the audit log and the clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    domain::{
        audit::{Event, EventId, JournalEntry, Kind, ReconciliationResult},
        authorization::{AuthzRequest, Decision, Denial, LogScope, ResourceScope},
        call::RequestId,
        principal::Scope,
        reason::Reason,
        tenant::{Tenant, TenantId},
        time::Timestamp,
    },
    ports::{
        AcquireError, Admission, AuditLog, AuditUnavailable, Authorize, Clock, OverQuota, PendingChange,
        PendingChanges, QuotaState, RecordedChange, RecordedOutcome, TenantDirectory, TenantQuota,
        Unavailable, UpstreamLimiter, UpstreamPermit,
        limit::{Cost, DropGuard, QuotaKey, UpstreamOutcome},
    },
    testing::FakeHistory,
};

/// Finds the given tenants.
#[derive(Debug, Default)]
pub struct FakeTenants(pub Vec<Arc<Tenant>>);

/// Permits everything that a grant covers, unless it is configured to forbid.
#[derive(Clone, Copy, Debug, Default)]
pub struct FakePolicy {
    /// Whether a policy named `forbidden` forbids everything.
    pub forbids: bool,
}

/// Admits every call.
#[derive(Clone, Copy, Debug, Default)]
pub struct FakeQuota;

/// Issues every permit at once, none, or a limited number, and records the outcome of each permit.
#[derive(Debug, Default)]
pub struct FakeUpstreamLimiter {
    retry_after: Option<Duration>,
    withheld: Option<Notify>,
    left: Mutex<Option<u32>>,
    used: Arc<Mutex<Vec<UpstreamOutcome>>>,
}

/// Keeps entries in memory, and fails or hangs if configured to.
#[derive(Debug, Default)]
pub struct FakeAudit {
    entries: Mutex<Vec<(EventId, JournalEntry)>>,
    notes: Mutex<Vec<Event>>,
    behaviour: Mutex<FakeMode>,
    /// The key records and requests that the entries create.
    pub history: Arc<FakeHistory>,
}

/// How [`FakeAudit`] handles the next entries.
#[derive(Clone, Copy, Debug, Default)]
enum FakeMode {
    #[default]
    Keep,
    Fail,
    Hang {
        after: usize,
    },
}

/// A clock that stands still until a test advances it.
#[derive(Debug)]
pub struct FakeClock(AtomicI64);

// === impl FakeTenants ===

impl TenantDirectory for FakeTenants {
    fn find(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.iter().find(|tenant| tenant.id == *id).cloned()
    }

    fn all(&self) -> Vec<Arc<Tenant>> {
        self.0.clone()
    }

    fn by_claim(&self, _issuer: &str, unverified_claim_value: &str) -> Option<Arc<Tenant>> {
        let has_claim =
            |tenant: &&Arc<Tenant>| tenant.claim_values.iter().any(|v| **v == *unverified_claim_value);
        self.0.iter().find(has_claim).cloned()
    }
}

// === impl FakePolicy ===

impl Authorize for FakePolicy {
    fn decide(&self, request: &AuthzRequest<'_>) -> Decision {
        let granted = match request.about {
            ResourceScope::Aws { grant, location: _, target } => {
                target.is_none_or(|target| grant.allows(target))
                    && request.key.is_none_or(|key| grant.allows_key(key))
            }
            ResourceScope::AuditLog(LogScope::Own) | ResourceScope::Tenant | ResourceScope::Account(_) => {
                true
            }
            ResourceScope::AuditLog(LogScope::All) => request.principal.scopes.contains(Scope::Admin),
            ResourceScope::Fleet(resource) => {
                resource.owner == Some(&request.principal.tenant)
                    || request.principal.scopes.contains(Scope::Admin)
            }
        };
        if self.forbids {
            Decision::Deny(Denial::Forbidden { policies: vec!["forbidden".into()] })
        } else if granted {
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
        Ok(Admission { state: self.state(tenant), slot: DropGuard::noop() })
    }

    fn state(&self, tenant: &Tenant) -> QuotaState {
        QuotaState { remaining: tenant.limits.burst.get(), reset: Duration::ZERO, in_flight: 1 }
    }
}

// === impl FakeUpstreamLimiter ===

impl FakeUpstreamLimiter {
    /// The retry delay of a refusal after [`FakeUpstreamLimiter::with_remaining`].
    pub const RETRY_AFTER: Duration = Duration::from_secs(7);

    /// A limiter that refuses every permit and asks to retry after this time.
    #[must_use]
    pub fn exhausted(retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::default() }
    }

    /// A limiter whose permits wait for [`FakeUpstreamLimiter::issue`].
    #[must_use]
    pub fn withholding() -> Self {
        Self { withheld: Some(Notify::new()), ..Self::default() }
    }

    /// Issues one withheld permit.
    pub fn issue(&self) {
        self.withheld.iter().for_each(Notify::notify_one);
    }

    /// Issues this many more permits and then refuses.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn with_remaining(&self, permits: u32) {
        *self.left.lock() = Some(permits);
    }

    /// The outcome of each permit.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    #[must_use]
    pub fn used(&self) -> Vec<UpstreamOutcome> {
        self.used.lock().clone()
    }
}

#[async_trait]
impl UpstreamLimiter for FakeUpstreamLimiter {
    fn rate(&self, _: &QuotaKey) -> f64 {
        5.0
    }

    async fn acquire(&self, _: &QuotaKey, _: &TenantId, _: Instant) -> Result<UpstreamPermit, AcquireError> {
        if let Some(retry_after) = self.retry_after {
            return Err(AcquireError { retry_after });
        }
        if let Some(withheld) = &self.withheld {
            withheld.notified().await;
        }
        if let Some(left) = &mut *self.left.lock() {
            *left = left.checked_sub(1).ok_or(AcquireError { retry_after: Self::RETRY_AFTER })?;
        }
        let used = Arc::clone(&self.used);
        Ok(UpstreamPermit::new(move |outcome| used.lock().push(outcome)))
    }
}

// === impl FakeAudit ===

impl FakeAudit {
    /// Fails every further entry.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn fail(&self) {
        *self.behaviour.lock() = FakeMode::Fail;
    }

    /// Stores `after` more entries, and never completes a commit after them.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn block_after(&self, after: usize) {
        let recorded = self.entries.lock().len();
        *self.behaviour.lock() = FakeMode::Hang { after: recorded + after };
    }

    /// Every stored entry.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn entries(&self) -> Vec<JournalEntry> {
        self.entries.lock().iter().map(|(_, entry)| entry.clone()).collect()
    }

    /// Every event that was recorded without waiting.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn notes(&self) -> Vec<Event> {
        self.notes.lock().clone()
    }
}

#[async_trait]
impl AuditLog for FakeAudit {
    async fn commit(&self, entry: JournalEntry) -> Result<EventId, AuditUnavailable> {
        let behaviour = *self.behaviour.lock();
        let recorded = self.entries.lock().len();
        match behaviour {
            FakeMode::Fail => return Err(AuditUnavailable(None)),
            FakeMode::Hang { after } if recorded >= after => std::future::pending::<()>().await,
            FakeMode::Keep | FakeMode::Hang { .. } => {}
        }
        let id = EventId(Uuid::now_v7());
        self.history.record(id, &entry);
        self.entries.lock().push((id, entry));
        Ok(id)
    }

    fn record_best_effort(&self, event: Event) {
        self.notes.lock().push(event);
    }

    fn not_ready_reason(&self) -> Option<String> {
        None
    }
}

#[async_trait]
impl PendingChanges for FakeAudit {
    async fn list_pending(&self, before: Timestamp) -> Result<Vec<PendingChange>, Unavailable> {
        let entries = self.entries.lock();
        let closes_intent = |entry: &JournalEntry| match entry.event.kind {
            Kind::Outcome => {
                entry.event.end.as_ref().and_then(|end| end.failure) != Some(Reason::OutcomeUnknown)
            }
            Kind::Reconciled(_) => true,
            Kind::Intent | Kind::Read | Kind::Refusal | Kind::Lifecycle | Kind::Finding => false,
        };
        let closed =
            |id| entries.iter().any(|(_, entry)| closes_intent(entry) && entry.event.closes == Some(id));
        let open = entries.iter().filter(|(id, entry)| {
            entry.event.kind == Kind::Intent && entry.event.time < before && !closed(*id)
        });
        Ok(open.map(|(id, entry)| PendingChange { intent: *id, event: entry.event.clone() }).collect())
    }

    async fn find(&self, intent: EventId) -> Result<Option<PendingChange>, Unavailable> {
        let entries = self.entries.lock();
        let found = entries.iter().find(|(id, _)| *id == intent);
        Ok(found.map(|(id, entry)| PendingChange { intent: *id, event: entry.event.clone() }))
    }

    async fn by_request_id(
        &self,
        tenant: &TenantId,
        id: &RequestId,
    ) -> Result<Option<RecordedChange>, Unavailable> {
        let entries = self.entries.lock();
        let of_call = |entry: &JournalEntry| {
            entry.event.correlation == *id && entry.event.actor.tenant.as_ref() == Some(tenant)
        };
        let intent =
            entries.iter().find(|(_, entry)| of_call(entry) && entry.event.kind == Kind::Intent).cloned();
        let Some((intent, entry)) = intent else { return Ok(None) };
        let outcome = entries
            .iter()
            .find(|(_, entry)| entry.event.kind == Kind::Outcome && entry.event.closes == Some(intent));
        let outcome = outcome.map(|(event, entry)| RecordedOutcome {
            event: *event,
            failure: entry
                .event
                .end
                .as_ref()
                .and_then(|end| end.failure)
                .map(|reason| reason.as_str().into()),
            detail: entry.event.detail.clone(),
        });
        Ok(Some(RecordedChange { change: PendingChange { intent, event: entry.event }, outcome }))
    }

    async fn reconciliation_of(
        &self,
        change: &PendingChange,
    ) -> Result<Option<(ReconciliationResult, EventId)>, Unavailable> {
        let entries = self.entries.lock();
        let reconciles = |(id, entry): &(EventId, JournalEntry)| match entry.event.kind {
            Kind::Reconciled(settlement) => {
                (entry.event.closes == Some(change.intent)).then_some((settlement, *id))
            }
            Kind::Intent | Kind::Outcome | Kind::Read | Kind::Refusal | Kind::Lifecycle | Kind::Finding => {
                None
            }
        };
        Ok(entries.iter().find_map(reconciles))
    }
}

// === impl FakeClock ===

impl FakeClock {
    /// Sets the clock back.
    ///
    /// # Panics
    ///
    /// If `by` does not fit into 64 bits of microseconds.
    pub fn set_back(&self, by: Duration) {
        self.0.fetch_sub(i64::try_from(by.as_micros()).unwrap(), SeqCst);
    }

    /// Advances the clock.
    ///
    /// # Panics
    ///
    /// If `by` does not fit into 64 bits of microseconds.
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
