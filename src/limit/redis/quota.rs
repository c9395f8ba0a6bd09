//! [`TenantQuota`] that replicas share. The Redis server counts the rate, the burst and the calls in flight;
//! a busy replica takes small amounts in advance, so that not every call needs a request.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::{FromRedisValue, ParsingError, Value};
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, sleep, timeout},
};

use super::{
    backend::{OnBackendError, RedisBackend},
    scripts::{ScriptCall, micros},
    token_lease::{CONCURRENCY_RETRY_AFTER, LEASE_TTL, TokenLease},
};
use crate::{
    domain::tenant::{Limits, Tenant, TenantId},
    limit::{
        config::Costs,
        idle_map::IdleMap,
        tenant_quota::{LocalQuota, count_rejection},
    },
    ports::limit::{Admission, Cost, DropGuard, OverQuota, QuotaState, TenantQuota},
};

/// How long the server counts the in-flight slots of a replica that does not report any more.
const SLOT_TTL: Duration = Duration::from_mins(2);
/// All replicas together take at most this fraction (one in this number) of what is left in advance.
const PREFETCH_DIVISOR: u32 = 4;
/// The number of tracked tenants that triggers the first removal of idle ones.
const FIRST_SWEEP: usize = 1_024;

/// Enforces tenant quotas across replicas.
#[derive(Debug)]
pub struct SharedQuota {
    backend: Arc<RedisBackend>,
    costs: Costs,
    /// The local count of this replica: for decisions without the server, and to report them afterwards.
    own: Arc<LocalQuota>,
    leases: Mutex<IdleMap<TenantId, Lease>>,
}

/// The lease of one tenant, and the calls that wait for a request to the server.
#[derive(Debug)]
struct Lease {
    /// Serializes requests to the server, so that the reported slots match what the server counts.
    request_lock: AsyncMutex<()>,
    waiting: AtomicU32,
    tokens: Mutex<TokenLease>,
}

/// The reply of the script.
struct LeaseReply {
    verdict: LeaseVerdict,
    /// The state of the quota; its calls in flight are those of the other replicas.
    state: QuotaState,
    /// The units and the in-flight slots that were taken in advance.
    units: u32,
    slots: u32,
}

/// The decision of the script.
enum LeaseVerdict {
    Admitted,
    /// The rate is exceeded for this time.
    OverRate(Duration),
    /// No in-flight slot is free.
    NoSlot,
}

/// Counts a call that waits for the server, until the guard is dropped.
struct WaitGuard<'a>(&'a AtomicU32);

// === impl SharedQuota ===

impl SharedQuota {
    /// Counts through `backend`; `own` counts the admissions of this replica.
    #[must_use]
    pub fn new(backend: Arc<RedisBackend>, costs: Costs, own: Arc<LocalQuota>) -> Self {
        Self { backend, costs, own, leases: Mutex::new(IdleMap::new(FIRST_SWEEP)) }
    }

    /// The number of tracked tenants.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.leases.lock().len()
    }

    fn lease(&self, tenant: &TenantId, now: Instant) -> Arc<Lease> {
        let mut leases = self.leases.lock();
        if let Some(lease) = leases.get(tenant) {
            return lease;
        }
        let lease = Lease {
            request_lock: AsyncMutex::new(()),
            waiting: AtomicU32::new(0),
            tokens: Mutex::new(TokenLease::new(now)),
        };
        leases.insert(tenant.clone(), lease, |lease| lease.tokens.lock().is_empty(now))
    }

    /// Sends a request to the server, unless the previous request already leased enough for this call.
    async fn request_lease(
        &self,
        lease: &Lease,
        tenant: &Tenant,
        price: u32,
    ) -> Option<Result<QuotaState, OverQuota>> {
        let limits = tenant.limits;
        let wait_guard = WaitGuard::new(&lease.waiting);
        let _permit = timeout(self.backend.timeout, lease.request_lock.lock()).await.ok()?;
        let now = Instant::now();
        let request = {
            let mut tokens = lease.tokens.lock();
            if let Some(decision) = tokens.decide(now, price, limits) {
                return Some(decision);
            }
            tokens.next_request(now, price, wait_guard.waiting())
        };
        let [rate, slots] = keys(&tenant.id);
        let run = ScriptCall::new(&self.backend.scripts.quota, vec![rate, slots])
            .arg(interval(limits))
            .arg(limits.burst)
            .arg(price)
            .arg(request.more_units)
            .arg(limits.max_in_flight)
            .arg(&self.backend.name)
            .arg(request.held_slots)
            .arg(request.slots)
            .arg(request.more_slots)
            .arg(micros(SLOT_TTL))
            .arg(self.own.unreported_usage(tenant, self.backend.reconnects()))
            .arg(request.returned_units)
            .arg(PREFETCH_DIVISOR.saturating_mul(self.backend.replicas()));
        let LeaseReply { verdict, state, units, slots } = self.backend.decide(&run).await?;
        let mut tokens = lease.tokens.lock();
        Some(match verdict {
            LeaseVerdict::Admitted => {
                tokens.record_admission(now, request, units, slots, state);
                Ok(tokens.state(Instant::now(), limits))
            }
            LeaseVerdict::OverRate(wait) => {
                tokens.record_denial(Instant::now(), Some(wait), limits, state);
                let state = tokens.state(Instant::now(), limits);
                Err(OverQuota::Rate { retry_after: wait, state })
            }
            LeaseVerdict::NoSlot => {
                tokens.record_denial(Instant::now(), None, limits, state);
                Err(OverQuota::InFlight {
                    retry_after: CONCURRENCY_RETRY_AFTER,
                    state: tokens.state(Instant::now(), limits),
                })
            }
        })
    }

    fn fallback_local(&self, tenant: &Tenant, cost: Cost) -> Result<Admission, OverQuota> {
        match self.backend.on_error {
            OnBackendError::Share => {
                let share = per_replica(tenant.limits, self.backend.replicas());
                self.own.admit_within(&tenant.id, share, self.costs.of(cost))
            }
            OnBackendError::Refuse => {
                let state = QuotaState { remaining: 0, reset: CONCURRENCY_RETRY_AFTER, in_flight: 0 };
                Err(OverQuota::Rate { retry_after: CONCURRENCY_RETRY_AFTER, state })
                    .inspect_err(count_rejection)
            }
        }
    }
}

#[async_trait]
impl TenantQuota for SharedQuota {
    async fn admit(&self, tenant: &Tenant, cost: Cost) -> Result<Admission, OverQuota> {
        if !self.backend.is_up() {
            return self.fallback_local(tenant, cost);
        }
        let (now, units) = (Instant::now(), self.costs.of(cost));
        let price = units.get().min(tenant.limits.burst.get());
        let lease = self.lease(&tenant.id, now);
        let decision = lease.tokens.lock().decide(now, price, tenant.limits);
        let decision = match decision {
            Some(decision) => Some(decision),
            None => self.request_lease(&lease, tenant, price).await,
        };
        let Some(decision) = decision else { return self.fallback_local(tenant, cost) };
        let state = decision.inspect_err(count_rejection)?;
        let own =
            self.own.record_remote_admission(&tenant.id, tenant.limits, units, self.backend.reconnects());
        return_surplus_later(&lease, &self.backend, tenant);
        let (backend, tenant) = (Arc::clone(&self.backend), tenant.clone());
        let slot = DropGuard::new(move || {
            drop(own);
            lease.tokens.lock().on_released();
            return_surplus_later(&lease, &backend, &tenant);
        });
        Ok(Admission { state, slot })
    }

    /// The state as of the server's last reply to this replica.
    fn state(&self, tenant: &Tenant) -> QuotaState {
        let lease = self.leases.lock().get(&tenant.id);
        match lease.filter(|_| self.backend.is_up()) {
            Some(lease) => lease.tokens.lock().state(Instant::now(), tenant.limits),
            None => self.own.state(tenant),
        }
    }
}

/// Returns unused units and slots to the server, in a separate task.
fn return_surplus_later(lease: &Arc<Lease>, backend: &Arc<RedisBackend>, tenant: &Tenant) {
    {
        let mut tokens = lease.tokens.lock();
        if tokens.return_scheduled || !tokens.is_returnable() {
            return;
        }
        tokens.return_scheduled = true;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let (lease, backend) = (Arc::clone(lease), Arc::clone(backend));
    let (id, limits) = (tenant.id.clone(), tenant.limits);
    runtime.spawn(async move {
        loop {
            sleep(LEASE_TTL).await;
            let _permit = lease.request_lock.lock().await;
            let surplus = lease.tokens.lock().surplus(Instant::now());
            if let Some((kept_slots, returned_units)) = surplus {
                let [rate, slots] = keys(&id);
                let run = ScriptCall::new(&backend.scripts.in_flight, vec![rate, slots])
                    .arg(interval(limits))
                    .arg(&backend.name)
                    .arg(kept_slots)
                    .arg(micros(SLOT_TTL))
                    .arg(returned_units);
                // If this fails, the next request reports the held slots again.
                let _ = backend.decide::<i64>(&run).await;
            }
            let mut tokens = lease.tokens.lock();
            if !tokens.is_returnable() {
                tokens.return_scheduled = false;
                return;
            }
        }
    });
}

/// The keys of a tenant's rate and in-flight slots. Both belong to the same hash slot of a Cluster.
fn keys(tenant: &TenantId) -> [String; 2] {
    [format!("logkey:{{{tenant}}}:rate"), format!("logkey:{{{tenant}}}:places")]
}

fn interval(limits: Limits) -> u64 {
    micros(Duration::from_secs(1)) / u64::from(limits.per_second.get())
}

/// The share of one replica, if the limits are divided by the number of replicas.
fn per_replica(limits: Limits, replicas: u32) -> Limits {
    let part = |whole: NonZeroU32| NonZeroU32::new(whole.get() / replicas.max(1)).unwrap_or(NonZeroU32::MIN);
    Limits {
        per_second: part(limits.per_second),
        burst: part(limits.burst),
        max_in_flight: part(limits.max_in_flight),
    }
}

// === impl LeaseReply ===

impl FromRedisValue for LeaseReply {
    fn from_redis_value(reply: Value) -> Result<Self, ParsingError> {
        let [result, wait, remaining, reset, others, units, slots] = <[u64; 7]>::from_redis_value(reply)?;
        let count = |value| u32::try_from(value).unwrap_or(u32::MAX);
        let verdict = match result {
            0 => LeaseVerdict::Admitted,
            1 => LeaseVerdict::OverRate(Duration::from_micros(wait).max(Duration::from_millis(1))),
            _ => LeaseVerdict::NoSlot,
        };
        let reset = Duration::from_micros(reset);
        let state = QuotaState { remaining: count(remaining), reset, in_flight: count(others) };
        Ok(Self { verdict, state, units: count(units), slots: count(slots) })
    }
}

// === impl WaitGuard ===

impl<'a> WaitGuard<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }

    fn waiting(&self) -> u32 {
        self.0.load(SeqCst)
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
