//! [`TenantQuota`] kept in memory: rate, burst and calls in flight of each tenant.
//!
//! A tenant that is at rest is forgotten, so that memory follows the tenants that call.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use metrics::counter;
use tokio::time::Instant;

use super::{
    Costs,
    gcra::{Gcra, Rate},
    locked,
    view::TenantView,
};
use crate::{
    domain::tenant::{Limits, Tenant, TenantId},
    ports::limit::{Admission, Cost, Held, OverQuota, QuotaState, TenantQuota},
};

/// Tenants kept before those at rest are looked for.
const FIRST_SWEEP: usize = 1_024;
/// What a call is taken to last until one has ended.
const FIRST_GUESS: Duration = Duration::from_millis(100);
/// Bounds of the wait that is told where all places are taken.
const PLACE_WAIT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(5));

/// Keeps tenants to their limits, within this process.
#[derive(Debug)]
pub struct LocalQuota {
    costs: Costs,
    tenants: Mutex<Tracked>,
}

#[derive(Debug)]
struct Tracked {
    usage: HashMap<TenantId, Arc<Mutex<Usage>>>,
    sweep_at: usize,
}

/// What one tenant has taken.
#[derive(Debug)]
struct Usage {
    gcra: Gcra,
    in_flight: u32,
    /// How long calls stay under way, as a moving average.
    stay: Duration,
    /// Up to which return of the server that replicas share it was told what was taken.
    settled: u64,
}

// === impl LocalQuota ===

impl LocalQuota {
    /// With every budget full.
    #[must_use]
    pub fn new(costs: Costs) -> Self {
        Self { costs, tenants: Mutex::new(Tracked { usage: HashMap::new(), sweep_at: FIRST_SWEEP }) }
    }

    /// How many tenants are remembered.
    #[must_use]
    pub fn tracked(&self) -> usize {
        locked(&self.tenants).usage.len()
    }

    /// Every tenant that is remembered, by name.
    #[must_use]
    pub fn view(&self) -> Vec<TenantView> {
        let now = Instant::now();
        let tenants: Vec<_> =
            locked(&self.tenants).usage.iter().map(|(id, usage)| (id.clone(), Arc::clone(usage))).collect();
        let view = |(id, usage): (TenantId, Arc<Mutex<Usage>>)| {
            let usage = locked(&usage);
            let (remaining, reset) = usage.gcra.as_before(now);
            let reset_ms = u64::try_from(reset.as_millis()).unwrap_or(u64::MAX);
            TenantView { tenant: id.to_string(), remaining, reset_ms, in_flight: usage.in_flight }
        };
        let mut views: Vec<_> = tenants.into_iter().map(view).collect();
        views.sort_unstable_by(|one, other| one.tenant.cmp(&other.tenant));
        views
    }

    /// The same as [`TenantQuota::admit`], within limits that need not be the tenant's own.
    pub(super) fn admit_within(
        &self,
        tenant: &TenantId,
        limits: Limits,
        cost: NonZeroU32,
    ) -> Result<Admission, OverQuota> {
        let now = Instant::now();
        let usage = self.usage(tenant, now);
        let state = locked(&usage).admit(now, limits, cost).inspect_err(count)?;
        let place = Held::new(move || locked(&usage).leave(now.elapsed()));
        Ok(Admission { state, place })
    }

    /// Notes a call that someone else admitted.
    pub(super) fn note(&self, tenant: &TenantId, limits: Limits, cost: NonZeroU32, returns: u64) -> Held {
        let now = Instant::now();
        let usage = self.usage(tenant, now);
        {
            let mut usage = locked(&usage);
            let _ = usage.gcra.take(now, rate(limits), cost);
            usage.in_flight += 1;
            usage.settled = returns;
        }
        Held::new(move || locked(&usage).leave(now.elapsed()))
    }

    /// What was taken here and is not earned yet, told once for each return of the shared server.
    pub(super) fn owed(&self, tenant: &Tenant, returns: u64) -> u32 {
        let now = Instant::now();
        let usage = locked(&self.tenants).usage.get(&tenant.id).map(Arc::clone);
        let Some(usage) = usage else { return 0 };
        let mut usage = locked(&usage);
        if usage.settled == returns {
            return 0;
        }
        usage.settled = returns;
        tenant.limits.burst.get() - usage.gcra.remaining(now, rate(tenant.limits))
    }

    fn usage(&self, tenant: &TenantId, now: Instant) -> Arc<Mutex<Usage>> {
        let mut tenants = locked(&self.tenants);
        if let Some(usage) = tenants.usage.get(tenant) {
            return Arc::clone(usage);
        }
        if tenants.usage.len() >= tenants.sweep_at {
            tenants.forget_idle(now);
        }
        let usage = Usage { gcra: Gcra::full(now), in_flight: 0, stay: FIRST_GUESS, settled: 0 };
        let usage = Arc::new(Mutex::new(usage));
        tenants.usage.insert(tenant.clone(), Arc::clone(&usage));
        usage
    }
}

#[async_trait]
impl TenantQuota for LocalQuota {
    async fn admit(&self, tenant: &Tenant, cost: Cost) -> Result<Admission, OverQuota> {
        self.admit_within(&tenant.id, tenant.limits, self.costs.of(cost))
    }

    fn state(&self, tenant: &Tenant) -> QuotaState {
        let now = Instant::now();
        let usage = locked(&self.tenants).usage.get(&tenant.id).map(Arc::clone);
        match usage {
            Some(usage) => locked(&usage).state(now, rate(tenant.limits)),
            None => QuotaState { remaining: tenant.limits.burst.get(), reset: Duration::ZERO, in_flight: 0 },
        }
    }
}

fn rate(limits: Limits) -> Rate {
    Rate::new(limits.per_second, limits.burst)
}

/// Counts a refusal.
pub(super) fn count(refusal: &OverQuota) {
    match refusal {
        OverQuota::Rate { .. } => counter!("logkey_limit_refused_total", "cause" => "tenant_rate"),
        OverQuota::InFlight { .. } => counter!("logkey_limit_refused_total", "cause" => "tenant_in_flight"),
    }
    .increment(1);
}

// === impl Tracked ===

impl Tracked {
    /// Runs again only once as many more have come, so that its cost is spread over them.
    fn forget_idle(&mut self, now: Instant) {
        self.usage.retain(|_, usage| Arc::strong_count(usage) > 1 || !locked(usage).is_idle(now));
        self.usage.shrink_to(FIRST_SWEEP);
        self.sweep_at = (2 * self.usage.len()).max(FIRST_SWEEP);
    }
}

// === impl Usage ===

impl Usage {
    fn admit(&mut self, now: Instant, limits: Limits, cost: NonZeroU32) -> Result<QuotaState, OverQuota> {
        let rate = rate(limits);
        // A place first: a call that finds none takes nothing from the rate.
        if self.in_flight >= limits.max_in_flight.get() {
            let state = self.state(now, rate);
            return Err(OverQuota::InFlight {
                retry_after: self.stay.clamp(PLACE_WAIT.0, PLACE_WAIT.1),
                state,
            });
        }
        if let Err(retry_after) = self.gcra.take(now, rate, cost) {
            return Err(OverQuota::Rate { retry_after, state: self.state(now, rate) });
        }
        self.in_flight += 1;
        Ok(self.state(now, rate))
    }

    fn leave(&mut self, stayed: Duration) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.stay = (self.stay * 7 + stayed) / 8;
    }

    fn state(&self, now: Instant, rate: Rate) -> QuotaState {
        QuotaState {
            remaining: self.gcra.remaining(now, rate),
            reset: self.gcra.reset(now, rate),
            in_flight: self.in_flight,
        }
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.in_flight == 0 && self.gcra.is_full(now)
    }
}
