//! [`TenantQuota`] shared by replicas: rate, burst and calls in flight are counted by the server, of which
//! each replica takes a little ahead while it is busy.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::Mutex as TurnMutex,
    time::{Instant, sleep, timeout},
};

use super::{
    CONCURRENCY_SCRIPT, OnBackendError, QUOTA, RedisBackend,
    client::ScriptCall,
    micros,
    token_lease::{CONCURRENCY_RETRY_AFTER, LEASE_TTL, TokenLease},
};
use crate::{
    domain::tenant::{Limits, Tenant, TenantId},
    limit::{Costs, LocalQuota, lock, tenant_quota::count},
    ports::limit::{Admission, Cost, DropGuard, OverQuota, QuotaState, TenantQuota},
};

/// After this what a replica holds is taken for lost with it.
const LEASE: Duration = Duration::from_mins(2);
/// Of what is left all replicas together take at most one part in so many ahead.
const PREFETCH_DIVISOR: u32 = 4;
/// Tenants kept before those at rest are looked for.
const FIRST_SWEEP: usize = 1_024;

/// Keeps tenants to their limits, across replicas.
#[derive(Debug)]
pub struct SharedQuota {
    link: Arc<RedisBackend>,
    costs: Costs,
    /// What this replica gave by itself, so that it can go on alone, and can say what it gave.
    own: Arc<LocalQuota>,
    leases: Mutex<Leases>,
}

#[derive(Debug)]
struct Leases {
    of: HashMap<TenantId, Arc<Lease>>,
    sweep_at: usize,
}

/// What is held of one tenant, and who asks for more.
#[derive(Debug)]
struct Lease {
    /// The server is asked by one at a time, so that what we say we hold is what it counts.
    asking: TurnMutex<()>,
    waiting: AtomicU32,
    tokens: Mutex<TokenLease>,
}

/// What the script answers: what, wait, left, reset, places of others, units and places taken ahead.
type LeaseReply = (u8, u64, u32, u64, u32, u32, u32);

// === impl SharedQuota ===

impl SharedQuota {
    /// Counted through `link`; `own` counts what this replica gives.
    #[must_use]
    pub fn new(link: Arc<RedisBackend>, costs: Costs, own: Arc<LocalQuota>) -> Self {
        let leases = Mutex::new(Leases { of: HashMap::new(), sweep_at: FIRST_SWEEP });
        Self { link, costs, own, leases }
    }

    /// How many tenants are remembered.
    #[must_use]
    pub fn tracked(&self) -> usize {
        lock(&self.leases).of.len()
    }

    fn lease(&self, tenant: &TenantId, now: Instant) -> Arc<Lease> {
        let mut leases = lock(&self.leases);
        if let Some(lease) = leases.of.get(tenant) {
            return Arc::clone(lease);
        }
        if leases.of.len() >= leases.sweep_at {
            leases.forget_idle(now);
        }
        let lease = Lease {
            asking: TurnMutex::new(()),
            waiting: AtomicU32::new(0),
            tokens: Mutex::new(TokenLease::new(now)),
        };
        let lease = Arc::new(lease);
        leases.of.insert(tenant.clone(), Arc::clone(&lease));
        lease
    }

    /// Asks the server, unless whoever asked before brought enough for this call too.
    async fn request_lease(
        &self,
        lease: &Lease,
        tenant: &Tenant,
        price: u32,
    ) -> Option<Result<QuotaState, OverQuota>> {
        let limits = tenant.limits;
        let waits = WaitGuard::new(&lease.waiting);
        let _permit = timeout(self.link.timeout, lease.asking.lock()).await.ok()?;
        let now = Instant::now();
        let wish = {
            let mut tokens = lock(&lease.tokens);
            if let Some(decided) = tokens.decide(now, price, limits) {
                return Some(decided);
            }
            tokens.next_request(now, price, waits.all())
        };
        let [rate, locations] = keys(&tenant.id);
        let run = ScriptCall::new(&self.link.scripts.quota, QUOTA, vec![rate, locations])
            .arg(interval(limits))
            .arg(limits.burst)
            .arg(price)
            .arg(wish.more_units)
            .arg(limits.max_in_flight)
            .arg(&self.link.name)
            .arg(wish.held_tokens)
            .arg(wish.locations)
            .arg(wish.more_locations)
            .arg(micros(LEASE))
            .arg(self.own.unreported_usage(tenant, self.link.returns.load(SeqCst)))
            .arg(wish.back)
            .arg(PREFETCH_DIVISOR.saturating_mul(self.link.replicas()));
        let (what, wait, remaining, reset, others, units, locations) =
            self.link.decide::<LeaseReply>(&run).await?;
        let state = QuotaState { remaining, reset: Duration::from_micros(reset), in_flight: others };
        let mut tokens = lock(&lease.tokens);
        Some(match what {
            0 => {
                tokens.admitted(now, wish, units, locations, state);
                Ok(tokens.state(Instant::now(), limits))
            }
            1 => {
                let wait = Duration::from_micros(wait).max(Duration::from_millis(1));
                tokens.record_denial(Instant::now(), Some(wait), limits, state);
                let state = tokens.state(Instant::now(), limits);
                Err(OverQuota::Rate { retry_after: wait, state })
            }
            _ => {
                tokens.record_denial(Instant::now(), None, limits, state);
                Err(OverQuota::InFlight {
                    retry_after: CONCURRENCY_RETRY_AFTER,
                    state: tokens.state(Instant::now(), limits),
                })
            }
        })
    }

    fn fallback_local(&self, tenant: &Tenant, cost: Cost) -> Result<Admission, OverQuota> {
        match self.link.on_error {
            OnBackendError::Share => {
                let share = per_replica(tenant.limits, self.link.replicas());
                self.own.admit_within(&tenant.id, share, self.costs.of(cost))
            }
            OnBackendError::Refuse => {
                let state = QuotaState { remaining: 0, reset: CONCURRENCY_RETRY_AFTER, in_flight: 0 };
                Err(OverQuota::Rate { retry_after: CONCURRENCY_RETRY_AFTER, state }).inspect_err(count)
            }
        }
    }
}

#[async_trait]
impl TenantQuota for SharedQuota {
    async fn admit(&self, tenant: &Tenant, cost: Cost) -> Result<Admission, OverQuota> {
        if !self.link.is_up() {
            return self.fallback_local(tenant, cost);
        }
        let (now, units) = (Instant::now(), self.costs.of(cost));
        let price = units.get().min(tenant.limits.burst.get());
        let lease = self.lease(&tenant.id, now);
        let decision = lock(&lease.tokens).decide(now, price, tenant.limits);
        let decided = match decision {
            Some(decided) => Some(decided),
            None => self.request_lease(&lease, tenant, price).await,
        };
        let Some(decided) = decided else { return self.fallback_local(tenant, cost) };
        let state = decided.inspect_err(count)?;
        let own = self.own.record_remote_admission(
            &tenant.id,
            tenant.limits,
            units,
            self.link.returns.load(SeqCst),
        );
        return_surplus_later(&lease, &self.link, tenant);
        let (link, tenant) = (Arc::clone(&self.link), tenant.clone());
        let location = DropGuard::new(move || {
            drop(own);
            lock(&lease.tokens).on_released();
            return_surplus_later(&lease, &link, &tenant);
        });
        Ok(Admission { state, location })
    }

    /// As far as the server told this replica.
    fn state(&self, tenant: &Tenant) -> QuotaState {
        let lease = lock(&self.leases).of.get(&tenant.id).map(Arc::clone);
        match lease.filter(|_| self.link.is_up()) {
            Some(lease) => lock(&lease.tokens).state(Instant::now(), tenant.limits),
            None => self.own.state(tenant),
        }
    }
}

/// Sees to it that what is not used is given back, apart from the call.
fn return_surplus_later(lease: &Arc<Lease>, link: &Arc<RedisBackend>, tenant: &Tenant) {
    {
        let mut tokens = lock(&lease.tokens);
        if tokens.tended || !tokens.is_returnable() {
            return;
        }
        tokens.tended = true;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let (lease, link) = (Arc::clone(lease), Arc::clone(link));
    let (id, limits) = (tenant.id.clone(), tenant.limits);
    runtime.spawn(async move {
        loop {
            sleep(LEASE_TTL).await;
            let _permit = lease.asking.lock().await;
            let surplus = lock(&lease.tokens).surplus(Instant::now());
            if let Some((keep, back)) = surplus {
                let [rate, locations] = keys(&id);
                let run = ScriptCall::new(&link.scripts.locations, CONCURRENCY_SCRIPT, vec![rate, locations])
                    .arg(interval(limits))
                    .arg(&link.name)
                    .arg(keep)
                    .arg(micros(LEASE))
                    .arg(back);
                // Where this fails, the next that asks says again what we hold.
                let _ = link.decide::<i64>(&run).await;
            }
            let mut tokens = lock(&lease.tokens);
            if !tokens.is_returnable() {
                tokens.tended = false;
                return;
            }
        }
    });
}

/// Both of one slot of a Cluster.
fn keys(tenant: &TenantId) -> [String; 2] {
    [format!("logkey:{{{tenant}}}:rate"), format!("logkey:{{{tenant}}}:places")]
}

fn interval(limits: Limits) -> u64 {
    micros(Duration::from_secs(1)) / u64::from(limits.per_second.get())
}

/// What one of so many replicas may give alone.
fn per_replica(limits: Limits, replicas: u32) -> Limits {
    let part = |whole: NonZeroU32| NonZeroU32::new(whole.get() / replicas.max(1)).unwrap_or(NonZeroU32::MIN);
    Limits {
        per_second: part(limits.per_second),
        burst: part(limits.burst),
        max_in_flight: part(limits.max_in_flight),
    }
}

// === impl Leases ===

impl Leases {
    /// Runs again only once as many more have come, so that its cost is spread over them.
    fn forget_idle(&mut self, now: Instant) {
        self.of.retain(|_, lease| Arc::strong_count(lease) > 1 || !lock(&lease.tokens).is_empty(now));
        self.of.shrink_to(FIRST_SWEEP);
        self.sweep_at = (2 * self.of.len()).max(FIRST_SWEEP);
    }
}

/// One that waits for the server, counted until it is let go.
struct WaitGuard<'a>(&'a AtomicU32);

impl<'a> WaitGuard<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }

    fn all(&self) -> u32 {
        self.0.load(SeqCst)
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
