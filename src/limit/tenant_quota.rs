//! [`TenantQuota`] in memory: the rate, the burst and the calls in flight of each tenant.
//!
//! Idle tenants are removed, so memory is proportional to the active tenants.

#[cfg(test)]
mod tests;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use async_trait::async_trait;
use metrics::counter;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    config::Costs,
    gcra::{Gcra, Rate},
    idle_map::IdleMap,
    view::TenantView,
};
use crate::{
    domain::tenant::{Limits, Tenant, TenantId},
    ports::limit::{Admission, Cost, DropGuard, OverQuota, QuotaState, TenantQuota},
};

/// The number of tracked tenants that triggers the first removal of idle ones.
const FIRST_SWEEP: usize = 1_024;
/// The assumed duration of a call until the first one ends.
const INITIAL_DURATION: Duration = Duration::from_millis(100);
/// The bounds of the retry delay if all in-flight slots are in use.
const CONCURRENCY_RETRY_BOUNDS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(5));

/// Enforces tenant quotas within this process.
#[derive(Debug)]
pub struct LocalQuota {
    costs: Costs,
    tenants: Mutex<IdleMap<TenantId, Mutex<TenantUsage>>>,
}

/// The usage of one tenant.
#[derive(Debug)]
struct TenantUsage {
    gcra: Gcra,
    in_flight: u32,
    /// The moving average of the duration of a call.
    mean_duration: Duration,
    /// The last reconnect to the Redis server after which this usage was reported to it.
    reported_reconnect: u64,
}

// === impl LocalQuota ===

impl LocalQuota {
    /// Creates quotas with every burst full.
    #[must_use]
    pub fn new(costs: Costs) -> Self {
        Self { costs, tenants: Mutex::new(IdleMap::new(FIRST_SWEEP)) }
    }

    /// The number of tracked tenants.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.tenants.lock().len()
    }

    /// The state of every tracked tenant, sorted by id.
    #[must_use]
    pub fn view(&self) -> Vec<TenantView> {
        let now = Instant::now();
        let tenants: Vec<_> =
            self.tenants.lock().iter().map(|(id, usage)| (id.clone(), Arc::clone(usage))).collect();
        let view = |(id, usage): (TenantId, Arc<Mutex<TenantUsage>>)| {
            let usage = usage.lock();
            let (remaining, reset) = usage.gcra.state_at_last_rate(now);
            let reset_ms = u64::try_from(reset.as_millis()).unwrap_or(u64::MAX);
            TenantView { tenant: id.to_string(), remaining, reset_ms, in_flight: usage.in_flight }
        };
        let mut views: Vec<_> = tenants.into_iter().map(view).collect();
        views.sort_unstable_by(|one, other| one.tenant.cmp(&other.tenant));
        views
    }

    /// Like [`TenantQuota::admit`], but with the given limits instead of the tenant's own.
    pub(super) fn admit_within(
        &self,
        tenant: &TenantId,
        limits: Limits,
        cost: NonZeroU32,
    ) -> Result<Admission, OverQuota> {
        let now = Instant::now();
        let usage = self.usage(tenant, now);
        let state = usage.lock().admit(now, limits, cost).inspect_err(count_rejection)?;
        let slot = DropGuard::new(move || usage.lock().release(now.elapsed()));
        Ok(Admission { state, slot })
    }

    /// Records a call that the Redis server admitted.
    pub(super) fn record_remote_admission(
        &self,
        tenant: &TenantId,
        limits: Limits,
        cost: NonZeroU32,
        reconnects: u64,
    ) -> DropGuard {
        let now = Instant::now();
        let usage = self.usage(tenant, now);
        {
            let mut usage = usage.lock();
            let _ = usage.gcra.try_acquire(now, rate(limits), cost);
            usage.in_flight += 1;
            usage.reported_reconnect = reconnects;
        }
        DropGuard::new(move || usage.lock().release(now.elapsed()))
    }

    /// The usage that the rate has not yet earned back; 0 if it was already reported after this reconnect.
    pub(super) fn unreported_usage(&self, tenant: &Tenant, reconnects: u64) -> u32 {
        let now = Instant::now();
        let usage = self.tenants.lock().get(&tenant.id);
        let Some(usage) = usage else { return 0 };
        let mut usage = usage.lock();
        if usage.reported_reconnect == reconnects {
            return 0;
        }
        usage.reported_reconnect = reconnects;
        tenant.limits.burst.get() - usage.gcra.remaining(now, rate(tenant.limits))
    }

    fn usage(&self, tenant: &TenantId, now: Instant) -> Arc<Mutex<TenantUsage>> {
        let mut tenants = self.tenants.lock();
        if let Some(usage) = tenants.get(tenant) {
            return usage;
        }
        let usage = TenantUsage {
            gcra: Gcra::full(now),
            in_flight: 0,
            mean_duration: INITIAL_DURATION,
            reported_reconnect: 0,
        };
        tenants.insert(tenant.clone(), Mutex::new(usage), |usage| usage.lock().is_idle(now))
    }
}

#[async_trait]
impl TenantQuota for LocalQuota {
    async fn admit(&self, tenant: &Tenant, cost: Cost) -> Result<Admission, OverQuota> {
        self.admit_within(&tenant.id, tenant.limits, self.costs.of(cost))
    }

    fn state(&self, tenant: &Tenant) -> QuotaState {
        let now = Instant::now();
        let usage = self.tenants.lock().get(&tenant.id);
        match usage {
            Some(usage) => usage.lock().state(now, rate(tenant.limits)),
            None => QuotaState { remaining: tenant.limits.burst.get(), reset: Duration::ZERO, in_flight: 0 },
        }
    }
}

fn rate(limits: Limits) -> Rate {
    Rate::new(limits.per_second, limits.burst)
}

/// Counts a rejection in the metrics.
pub(super) fn count_rejection(refusal: &OverQuota) {
    match refusal {
        OverQuota::Rate { .. } => counter!("logkey_limit_refused_total", "cause" => "tenant_rate"),
        OverQuota::InFlight { .. } => counter!("logkey_limit_refused_total", "cause" => "tenant_in_flight"),
    }
    .increment(1);
}

// === impl TenantUsage ===

impl TenantUsage {
    fn admit(&mut self, now: Instant, limits: Limits, cost: NonZeroU32) -> Result<QuotaState, OverQuota> {
        let rate = rate(limits);
        // The in-flight limit comes first, so that a call without a slot costs nothing from the rate.
        if self.in_flight >= limits.max_in_flight.get() {
            let state = self.state(now, rate);
            return Err(OverQuota::InFlight {
                retry_after: self.mean_duration.clamp(CONCURRENCY_RETRY_BOUNDS.0, CONCURRENCY_RETRY_BOUNDS.1),
                state,
            });
        }
        if let Err(retry_after) = self.gcra.try_acquire(now, rate, cost) {
            return Err(OverQuota::Rate { retry_after, state: self.state(now, rate) });
        }
        self.in_flight += 1;
        Ok(self.state(now, rate))
    }

    fn release(&mut self, duration: Duration) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.mean_duration = (self.mean_duration * 7 + duration) / 8;
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
