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
    Link, OnBackendError, PLACES, QUOTA,
    lease::{AWAY, LIFE, Stock},
    micros,
    wire::Run,
};
use crate::{
    domain::tenant::{Limits, Tenant, TenantId},
    limit::{Costs, LocalQuota, locked, quota::count},
    ports::limit::{Admission, Cost, Held, OverQuota, QuotaState, TenantQuota},
};

/// After this what a replica holds is taken for lost with it.
const LEASE: Duration = Duration::from_mins(2);
/// Of what is left all replicas together take at most one part in so many ahead.
const AHEAD: u32 = 4;
/// Tenants kept before those at rest are looked for.
const FIRST_SWEEP: usize = 1_024;

/// Keeps tenants to their limits, across replicas.
#[derive(Debug)]
pub struct SharedQuota {
    link: Arc<Link>,
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
    stock: Mutex<Stock>,
}

/// What the script answers: what, wait, left, reset, places of others, units and places taken ahead.
type Answer = (u8, u64, u32, u64, u32, u32, u32);

// === impl SharedQuota ===

impl SharedQuota {
    /// Counted through `link`; `own` counts what this replica gives.
    #[must_use]
    pub fn new(link: Arc<Link>, costs: Costs, own: Arc<LocalQuota>) -> Self {
        let leases = Mutex::new(Leases { of: HashMap::new(), sweep_at: FIRST_SWEEP });
        Self { link, costs, own, leases }
    }

    /// How many tenants are remembered.
    #[must_use]
    pub fn tracked(&self) -> usize {
        locked(&self.leases).of.len()
    }

    fn lease(&self, tenant: &TenantId, now: Instant) -> Arc<Lease> {
        let mut leases = locked(&self.leases);
        if let Some(lease) = leases.of.get(tenant) {
            return Arc::clone(lease);
        }
        if leases.of.len() >= leases.sweep_at {
            leases.forget_idle(now);
        }
        let lease = Lease {
            asking: TurnMutex::new(()),
            waiting: AtomicU32::new(0),
            stock: Mutex::new(Stock::new(now)),
        };
        let lease = Arc::new(lease);
        leases.of.insert(tenant.clone(), Arc::clone(&lease));
        lease
    }

    /// Asks the server, unless whoever asked before brought enough for this call too.
    async fn ask(&self, lease: &Lease, tenant: &Tenant, price: u32) -> Option<Result<QuotaState, OverQuota>> {
        let limits = tenant.limits;
        let waits = Waits::new(&lease.waiting);
        let _turn = timeout(self.link.patience, lease.asking.lock()).await.ok()?;
        let now = Instant::now();
        let wish = {
            let mut stock = locked(&lease.stock);
            if let Some(decided) = stock.decide(now, price, limits) {
                return Some(decided);
            }
            stock.wish(now, price, waits.all())
        };
        let [rate, places] = keys(&tenant.id);
        let run = Run::new(&self.link.scripts.quota, QUOTA, vec![rate, places])
            .arg(interval(limits))
            .arg(limits.burst)
            .arg(price)
            .arg(wish.more_units)
            .arg(limits.max_in_flight)
            .arg(&self.link.name)
            .arg(wish.held)
            .arg(wish.places)
            .arg(wish.more_places)
            .arg(micros(LEASE))
            .arg(self.own.owed(tenant, self.link.returns.load(SeqCst)))
            .arg(wish.back)
            .arg(AHEAD.saturating_mul(self.link.replicas()));
        let (what, wait, remaining, reset, others, units, places) = self.link.decide::<Answer>(&run).await?;
        let told = QuotaState { remaining, reset: Duration::from_micros(reset), in_flight: others };
        let mut stock = locked(&lease.stock);
        Some(match what {
            0 => {
                stock.admitted(now, wish, units, places, told);
                Ok(stock.state(Instant::now(), limits))
            }
            1 => {
                let wait = Duration::from_micros(wait).max(Duration::from_millis(1));
                stock.refused(Instant::now(), Some(wait), limits, told);
                let state = stock.state(Instant::now(), limits);
                Err(OverQuota::Rate { retry_after: wait, state })
            }
            _ => {
                stock.refused(Instant::now(), None, limits, told);
                Err(OverQuota::InFlight { retry_after: AWAY, state: stock.state(Instant::now(), limits) })
            }
        })
    }

    fn alone(&self, tenant: &Tenant, cost: Cost) -> Result<Admission, OverQuota> {
        match self.link.on_error {
            OnBackendError::Share => {
                let share = share(tenant.limits, self.link.replicas());
                self.own.admit_within(&tenant.id, share, self.costs.of(cost))
            }
            OnBackendError::Refuse => {
                let state = QuotaState { remaining: 0, reset: AWAY, in_flight: 0 };
                Err(OverQuota::Rate { retry_after: AWAY, state }).inspect_err(count)
            }
        }
    }
}

#[async_trait]
impl TenantQuota for SharedQuota {
    async fn admit(&self, tenant: &Tenant, cost: Cost) -> Result<Admission, OverQuota> {
        if !self.link.is_up() {
            return self.alone(tenant, cost);
        }
        let (now, units) = (Instant::now(), self.costs.of(cost));
        let price = units.get().min(tenant.limits.burst.get());
        let lease = self.lease(&tenant.id, now);
        let held = locked(&lease.stock).decide(now, price, tenant.limits);
        let decided = match held {
            Some(decided) => Some(decided),
            None => self.ask(&lease, tenant, price).await,
        };
        let Some(decided) = decided else { return self.alone(tenant, cost) };
        let state = decided.inspect_err(count)?;
        let own = self.own.note(&tenant.id, tenant.limits, units, self.link.returns.load(SeqCst));
        tend(&lease, &self.link, tenant);
        let (link, tenant) = (Arc::clone(&self.link), tenant.clone());
        let place = Held::new(move || {
            drop(own);
            locked(&lease.stock).ended();
            tend(&lease, &link, &tenant);
        });
        Ok(Admission { state, place })
    }

    /// As far as the server told this replica.
    fn state(&self, tenant: &Tenant) -> QuotaState {
        let known = locked(&self.leases).of.get(&tenant.id).map(Arc::clone);
        match known.filter(|_| self.link.is_up()) {
            Some(lease) => locked(&lease.stock).state(Instant::now(), tenant.limits),
            None => self.own.state(tenant),
        }
    }
}

/// Sees to it that what is not used is given back, apart from the call.
fn tend(lease: &Arc<Lease>, link: &Arc<Link>, tenant: &Tenant) {
    {
        let mut stock = locked(&lease.stock);
        if stock.tended || !stock.is_loose() {
            return;
        }
        stock.tended = true;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let (lease, link) = (Arc::clone(lease), Arc::clone(link));
    let (id, limits) = (tenant.id.clone(), tenant.limits);
    runtime.spawn(async move {
        loop {
            sleep(LIFE).await;
            let _turn = lease.asking.lock().await;
            let excess = locked(&lease.stock).excess(Instant::now());
            if let Some((keep, back)) = excess {
                let [rate, places] = keys(&id);
                let run = Run::new(&link.scripts.places, PLACES, vec![rate, places])
                    .arg(interval(limits))
                    .arg(&link.name)
                    .arg(keep)
                    .arg(micros(LEASE))
                    .arg(back);
                // Where this fails, the next that asks says again what we hold.
                let _ = link.decide::<i64>(&run).await;
            }
            let mut stock = locked(&lease.stock);
            if !stock.is_loose() {
                stock.tended = false;
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
fn share(limits: Limits, replicas: u32) -> Limits {
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
        self.of.retain(|_, lease| Arc::strong_count(lease) > 1 || !locked(&lease.stock).is_empty(now));
        self.of.shrink_to(FIRST_SWEEP);
        self.sweep_at = (2 * self.of.len()).max(FIRST_SWEEP);
    }
}

/// One that waits for the server, counted until it is let go.
struct Waits<'a>(&'a AtomicU32);

impl<'a> Waits<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }

    fn all(&self) -> u32 {
        self.0.load(SeqCst)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
