//! The part of one tenant's limits that this replica leased in advance, so that not every call needs a
//! request. Units are charged when they are leased, and last [`LEASE_TTL`]; the server counts slots until
//! they are returned. So the calls in flight never exceed their limit, and no period has more calls than the
//! burst, what the period earns, and what [`LEASE_TTL`] earns.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    domain::tenant::Limits,
    ports::limit::{OverQuota, QuotaState},
};

/// How long leased units can be used; the rest is then returned.
pub(super) const LEASE_TTL: Duration = Duration::from_millis(50);
/// How long the reply that all in-flight slots are in use is cached.
const FULL_TTL: Duration = Duration::from_millis(5);
/// The largest addition to the retry delay of rejected callers, so that they do not all retry at once.
const MAX_RETRY_SPREAD: Duration = Duration::from_secs(1);
/// The retry delay if all in-flight slots are in use.
pub(super) const CONCURRENCY_RETRY_AFTER: Duration = Duration::from_millis(500);

/// The leased units and in-flight slots of one tenant.
#[derive(Debug)]
pub(super) struct TokenLease {
    units: u32,
    until: Instant,
    /// The slots that the server counts for this replica, and those that calls use.
    held_slots: u32,
    used_slots: u32,
    /// The calls in the current period of [`LEASE_TTL`] and in the previous one.
    calls: (u32, u32),
    period_start: Instant,
    refusal: Option<LeaseDenial>,
    /// The state in the server's last reply, and its time.
    last_state: Option<(QuotaState, Instant)>,
    /// Whether a task will return what is not used.
    pub(super) return_scheduled: bool,
}

/// A cached rejection by the server.
#[derive(Clone, Copy, Debug)]
struct LeaseDenial {
    until: Instant,
    /// When the rate has earned all calls that rejected callers will retry.
    next: Instant,
    of_slots: bool,
    limits: Limits,
}

/// A request to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseRequest {
    pub(super) more_units: u32,
    pub(super) held_slots: u32,
    pub(super) slots: u32,
    pub(super) more_slots: u32,
    pub(super) returned_units: u32,
}

// === impl TokenLease ===

impl TokenLease {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            units: 0,
            until: now,
            held_slots: 0,
            used_slots: 0,
            calls: (0, 0),
            period_start: now,
            refusal: None,
            last_state: None,
            return_scheduled: false,
        }
    }

    /// Whether the lease holds nothing, so that a new one would be equivalent.
    pub(super) fn is_empty(&self, now: Instant) -> bool {
        let rested = self.last_state.is_none_or(|(state, at)| at + state.reset <= now);
        self.held_slots == 0 && self.units == 0 && !self.return_scheduled && rested
    }

    /// Decides with the leased units and slots, or with a cached rejection; `None` if a request is needed.
    pub(super) fn decide(
        &mut self,
        now: Instant,
        price: u32,
        limits: Limits,
    ) -> Option<Result<QuotaState, OverQuota>> {
        if self.units >= price
            && now < self.until
            && self.used_slots < self.held_slots.min(limits.max_in_flight.get())
        {
            self.units -= price;
            self.used_slots += 1;
            self.count_call(now);
            return Some(Ok(self.state(now, limits)));
        }
        let state = self.state(now, limits);
        let is_current = |refusal: &&mut LeaseDenial| now < refusal.until && refusal.limits == limits;
        let refusal = self.refusal.as_mut().filter(is_current)?;
        if refusal.of_slots {
            return Some(Err(OverQuota::InFlight { retry_after: CONCURRENCY_RETRY_AFTER, state }));
        }
        // Each rejected caller gets a later retry time than the one before, as with a local count.
        let cost_time = interval(limits) * price;
        refusal.next += cost_time;
        let retry_after = refusal.next.min(refusal.until + MAX_RETRY_SPREAD.max(cost_time)) - now;
        Some(Err(OverQuota::Rate { retry_after, state }))
    }

    /// The next request: in addition to one call, it leases units and slots for the recent rate of calls and
    /// for the `waiting` ones. It returns the units that are left.
    pub(super) fn next_request(&mut self, now: Instant, price: u32, waiting: u32) -> LeaseRequest {
        let recent = if now < self.period_start + 2 * LEASE_TTL { self.calls.0.max(self.calls.1) } else { 0 };
        let more = recent.max(waiting).saturating_sub(1);
        let free = self.held_slots - self.used_slots;
        LeaseRequest {
            more_units: more.saturating_mul(price),
            held_slots: self.held_slots,
            slots: u32::from(free == 0),
            more_slots: more.saturating_sub(free),
            returned_units: std::mem::take(&mut self.units),
        }
    }

    /// Records that the server admitted the call, at `requested_at` or later.
    pub(super) fn record_admission(
        &mut self,
        requested_at: Instant,
        request: LeaseRequest,
        units: u32,
        slots: u32,
        state: QuotaState,
    ) {
        (self.units, self.until) = (units, requested_at + LEASE_TTL);
        self.held_slots = request.held_slots + request.slots + slots;
        self.used_slots += 1;
        self.refusal = None;
        self.last_state = Some((state, requested_at));
        self.count_call(requested_at);
    }

    /// Records that the server rejected the call: for `wait` if the rate is exceeded, otherwise (`None`)
    /// because no slot is free.
    pub(super) fn record_denial(
        &mut self,
        requested_at: Instant,
        wait: Option<Duration>,
        limits: Limits,
        state: QuotaState,
    ) {
        let until = requested_at + wait.unwrap_or(FULL_TTL);
        self.refusal = Some(LeaseDenial { until, next: until, of_slots: wait.is_none(), limits });
        self.last_state = Some((state, requested_at));
    }

    /// Frees the slot of a call that ended.
    pub(super) fn on_released(&mut self) {
        self.used_slots = self.used_slots.saturating_sub(1);
        if self.refusal.is_some_and(|refusal| refusal.of_slots) {
            self.refusal = None;
        }
    }

    /// Gives up what is not used: the slots that are kept, and the units that are returned. `None` if there
    /// is nothing to return.
    pub(super) fn surplus(&mut self, now: Instant) -> Option<(u32, u32)> {
        let is_busy = now < self.period_start + LEASE_TTL;
        let spare = if is_busy { self.calls.0.max(self.calls.1) } else { 0 };
        let kept = self.held_slots.min(self.used_slots + spare);
        let returned = if now < self.until { 0 } else { self.units };
        let has_surplus = kept < self.held_slots || returned > 0;
        (self.held_slots, self.units) = (kept, self.units - returned);
        has_surplus.then_some((kept, returned))
    }

    /// Whether there may be something to return later.
    pub(super) fn is_returnable(&self) -> bool {
        self.held_slots > self.used_slots || self.units > 0
    }

    /// The state as of the server's last reply, with what the rate has earned since.
    pub(super) fn state(&self, now: Instant, limits: Limits) -> QuotaState {
        let burst = limits.burst.get();
        let Some((state, at)) = self.last_state else {
            return QuotaState { remaining: burst, reset: Duration::ZERO, in_flight: self.used_slots };
        };
        let earned = (now - at).as_nanos() / interval(limits).as_nanos().max(1);
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        QuotaState {
            remaining: state.remaining.saturating_add(earned).saturating_add(self.units).min(burst),
            reset: state.reset.saturating_sub(now - at),
            in_flight: state.in_flight.saturating_add(self.used_slots),
        }
    }

    fn count_call(&mut self, now: Instant) {
        if now >= self.period_start + LEASE_TTL {
            let previous = if now < self.period_start + 2 * LEASE_TTL { self.calls.0 } else { 0 };
            (self.calls, self.period_start) = ((0, previous), now);
        }
        self.calls.0 += 1;
    }
}

fn interval(limits: Limits) -> Duration {
    Duration::from_secs(1) / limits.per_second.get()
}
