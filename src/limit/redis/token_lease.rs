//! What this replica holds of one tenant's limits ahead of use, so that not each call asks the server.
//!
//! Units are paid for when they are taken and last [`LIFE`]; places are the server's to count until they
//! are given back. So calls under way never exceed their bound, and no stretch of time sees more than the
//! burst, what is earned in it, and what is earned in [`LIFE`].

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    domain::tenant::Limits,
    ports::limit::{OverQuota, QuotaState},
};

/// How long units that were taken ahead may be used; what is left then is given back.
pub(super) const LEASE_TTL: Duration = Duration::from_millis(50);
/// How long to believe that all places are taken.
const FULL_TTL: Duration = Duration::from_millis(5);
/// How much later than strictly needed a refused caller may be sent, so that not all come back at once.
const SPREAD: Duration = Duration::from_secs(1);
/// The wait that is told where all places are taken.
pub(super) const CONCURRENCY_RETRY_AFTER: Duration = Duration::from_millis(500);

/// What is held of one tenant.
#[derive(Debug)]
pub(super) struct TokenLease {
    units: u32,
    until: Instant,
    /// Places that the server counts for us, and those that calls have.
    held_tokens: u32,
    used: u32,
    /// Calls in this stretch of [`LIFE`] and in the one before.
    calls: (u32, u32),
    stretch: Instant,
    refusal: Option<LeaseDenial>,
    /// What the server said last, and when.
    last_state: Option<(QuotaState, Instant)>,
    /// Whether someone looks after what has to be given back.
    pub(super) tended: bool,
}

/// Why the server refused, which holds for a while.
#[derive(Clone, Copy, Debug)]
struct LeaseDenial {
    until: Instant,
    /// When all that callers were told to come back for is earned.
    next: Instant,
    of_locations: bool,
    limits: Limits,
}

/// What to ask the server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseRequest {
    pub(super) more_units: u32,
    pub(super) held_tokens: u32,
    pub(super) locations: u32,
    pub(super) more_locations: u32,
    pub(super) back: u32,
}

// === impl Stock ===

impl TokenLease {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            units: 0,
            until: now,
            held_tokens: 0,
            used: 0,
            calls: (0, 0),
            stretch: now,
            refusal: None,
            last_state: None,
            tended: false,
        }
    }

    /// Whether nothing is held and nothing is known that a new one would not know.
    pub(super) fn is_empty(&self, now: Instant) -> bool {
        let rested = self.last_state.is_none_or(|(state, at)| at + state.reset <= now);
        self.held_tokens == 0 && self.units == 0 && !self.tended && rested
    }

    /// Decides by what is held or known; none where the server has to be asked.
    pub(super) fn decide(
        &mut self,
        now: Instant,
        price: u32,
        limits: Limits,
    ) -> Option<Result<QuotaState, OverQuota>> {
        if self.units >= price
            && now < self.until
            && self.used < self.held_tokens.min(limits.max_in_flight.get())
        {
            self.units -= price;
            self.used += 1;
            self.count(now);
            return Some(Ok(self.state(now, limits)));
        }
        let state = self.state(now, limits);
        let is_current = |refusal: &&mut LeaseDenial| now < refusal.until && refusal.limits == limits;
        let refusal = self.refusal.as_mut().filter(is_current)?;
        if refusal.of_locations {
            return Some(Err(OverQuota::InFlight { retry_after: CONCURRENCY_RETRY_AFTER, state }));
        }
        // Callers refused one after the other are told later and later, as one that counts alone does.
        let price = interval(limits) * price;
        refusal.next += price;
        let retry_after = refusal.next.min(refusal.until + SPREAD.max(price)) - now;
        Some(Err(OverQuota::Rate { retry_after, state }))
    }

    /// What to ask for, beside the price of one call, with so many who wait for the answer. Units that are
    /// left go back with it.
    pub(super) fn next_request(&mut self, now: Instant, price: u32, waiting: u32) -> LeaseRequest {
        let usual = if now < self.stretch + 2 * LEASE_TTL { self.calls.0.max(self.calls.1) } else { 0 };
        let more = usual.max(waiting).saturating_sub(1);
        let free = self.held_tokens - self.used;
        LeaseRequest {
            more_units: more.saturating_mul(price),
            held_tokens: self.held_tokens,
            locations: u32::from(free == 0),
            more_locations: more.saturating_sub(free),
            back: std::mem::take(&mut self.units),
        }
    }

    /// The server admitted the call, at the earliest at `asked`.
    pub(super) fn admitted(
        &mut self,
        requested_at: Instant,
        wish: LeaseRequest,
        units: u32,
        locations: u32,
        state: QuotaState,
    ) {
        (self.units, self.until) = (units, requested_at + LEASE_TTL);
        self.held_tokens = wish.held_tokens + wish.locations + locations;
        self.used += 1;
        self.refusal = None;
        self.last_state = Some((state, requested_at));
        self.count(requested_at);
    }

    /// The server refused: for so long where the rate is met, else since no place is free.
    pub(super) fn record_denial(
        &mut self,
        requested_at: Instant,
        wait: Option<Duration>,
        limits: Limits,
        state: QuotaState,
    ) {
        let until = requested_at + wait.unwrap_or(FULL_TTL);
        self.refusal = Some(LeaseDenial { until, next: until, of_locations: wait.is_none(), limits });
        self.last_state = Some((state, requested_at));
    }

    /// A call ended.
    pub(super) fn on_released(&mut self) {
        self.used = self.used.saturating_sub(1);
        if self.refusal.is_some_and(|refusal| refusal.of_locations) {
            self.refusal = None;
        }
    }

    /// Lets go of what is not used: the places that are kept, and the units that go back. None where all
    /// is well.
    pub(super) fn surplus(&mut self, now: Instant) -> Option<(u32, u32)> {
        let busy = now < self.stretch + LEASE_TTL;
        let spare = if busy { self.calls.0.max(self.calls.1) } else { 0 };
        let keep = self.held_tokens.min(self.used + spare);
        let back = if now < self.until { 0 } else { self.units };
        let some = keep < self.held_tokens || back > 0;
        (self.held_tokens, self.units) = (keep, self.units - back);
        some.then_some((keep, back))
    }

    /// Whether there may be something to give back later.
    pub(super) fn is_returnable(&self) -> bool {
        self.held_tokens > self.used || self.units > 0
    }

    /// What is left, as far as it was told and can be reckoned.
    pub(super) fn state(&self, now: Instant, limits: Limits) -> QuotaState {
        let burst = limits.burst.get();
        let Some((state, at)) = self.last_state else {
            return QuotaState { remaining: burst, reset: Duration::ZERO, in_flight: self.used };
        };
        let earned = (now - at).as_nanos() / interval(limits).as_nanos().max(1);
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        QuotaState {
            remaining: state.remaining.saturating_add(earned).saturating_add(self.units).min(burst),
            reset: state.reset.saturating_sub(now - at),
            in_flight: state.in_flight.saturating_add(self.used),
        }
    }

    fn count(&mut self, now: Instant) {
        if now >= self.stretch + LEASE_TTL {
            let before = if now < self.stretch + 2 * LEASE_TTL { self.calls.0 } else { 0 };
            (self.calls, self.stretch) = ((0, before), now);
        }
        self.calls.0 += 1;
    }
}

fn interval(limits: Limits) -> Duration {
    Duration::from_secs(1) / limits.per_second.get()
}
