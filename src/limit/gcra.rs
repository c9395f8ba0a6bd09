//! The generic cell rate algorithm (ITU-T I.371): one instant holds how far ahead of its rate a caller is.
//!
//! This is not the crate `governor`, because the limit here belongs to the call (a reload applies at once),
//! and because callers see what is left without using it. `governor` offers neither.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;

/// The largest addition to the retry delay of rejected callers, so that they do not all retry at once.
const MAX_RETRY_SPREAD: Duration = Duration::from_secs(1);
/// The shortest retry delay.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// A rate, and the burst that may exceed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    interval: Duration,
    burst: u32,
}

/// The state of one caller: how far ahead of its rate it is.
#[derive(Clone, Copy, Debug)]
pub struct Gcra {
    /// When the rate will have earned everything that was taken (the "theoretical arrival time").
    earned: Instant,
    /// The same, including the calls that rejected callers will retry.
    retry_at: Instant,
    /// The rate at which it was taken.
    rate: Option<Rate>,
}

// === impl Rate ===

impl Rate {
    /// Allows `per_second` units per second, and `burst` units at once after a pause.
    #[must_use]
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.get(), burst: burst.get() }
    }

    fn window(self) -> Duration {
        self.interval.saturating_mul(self.burst)
    }
}

// === impl Gcra ===

impl Gcra {
    /// Creates a state with a full burst.
    #[must_use]
    pub fn full(now: Instant) -> Self {
        Self { earned: now, retry_at: now, rate: None }
    }

    /// Takes `cost` units. A larger cost than the burst counts as the whole burst.
    ///
    /// # Errors
    ///
    /// The retry delay. Each rejected caller gets a longer delay than the one before, up to a second more
    /// than the shortest one, so that its retry succeeds.
    pub fn try_acquire(&mut self, now: Instant, rate: Rate, cost: NonZeroU32) -> Result<(), Duration> {
        let price = rate.interval.saturating_mul(cost.get().min(rate.burst));
        if self.rate != Some(rate) {
            *self = self.rescale(now, rate);
        }
        self.earned = self.earned.max(now);
        self.retry_at = self.retry_at.clamp(self.earned, self.earned + MAX_RETRY_SPREAD);
        let min = wait(now, self.earned + price, rate);
        if min.is_zero() {
            self.earned += price;
            return Ok(());
        }
        let fair = wait(now, self.retry_at + price, rate).min(min + MAX_RETRY_SPREAD);
        self.retry_at += price;
        Err(fair.max(MIN_WAIT))
    }

    /// The units that can be taken now.
    #[must_use]
    pub fn remaining(&self, now: Instant, rate: Rate) -> u32 {
        let free = rate.window().saturating_sub(self.reset(now, rate));
        let units = free.as_nanos() / rate.interval.as_nanos().max(1);
        u32::try_from(units).unwrap_or(u32::MAX).min(rate.burst)
    }

    /// The time until the burst is full.
    #[must_use]
    pub fn reset(&self, now: Instant, rate: Rate) -> Duration {
        self.rescale(now, rate).earned.saturating_duration_since(now)
    }

    /// The units that can be taken now, and the time until the burst is full, at the last used rate.
    #[must_use]
    pub fn state_at_last_rate(&self, now: Instant) -> (u32, Duration) {
        self.rate.map_or((0, Duration::ZERO), |rate| (self.remaining(now, rate), self.reset(now, rate)))
    }

    /// Whether the burst is full, so that a new state would be equivalent.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.earned <= now
    }

    /// Converts the state to a new rate: what was taken stays taken, up to the new burst.
    fn rescale(&self, now: Instant, rate: Rate) -> Self {
        let ahead = self.earned.saturating_duration_since(now);
        let ahead = match self.rate {
            Some(old) if old != rate => {
                ahead.mul_f64(rate.interval.as_secs_f64() / old.interval.as_secs_f64()).min(rate.window())
            }
            _ => ahead,
        };
        Self { earned: now + ahead, retry_at: now + ahead, rate: Some(rate) }
    }
}

/// The time until `ahead` fits into the burst.
fn wait(now: Instant, ahead: Instant, rate: Rate) -> Duration {
    ahead.saturating_duration_since(now).saturating_sub(rate.window())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn n(value: u32) -> NonZeroU32 {
        NonZeroU32::new(value).unwrap()
    }

    #[test]
    fn a_pause_earns_at_most_the_burst() {
        let rate = Rate::new(n(10), n(3));
        let start = Instant::now();
        let mut gcra = Gcra::full(start);
        for later in [Duration::ZERO, Duration::from_hours(1)] {
            let now = start + later;
            let taken = (0..10).filter(|_| gcra.try_acquire(now, rate, n(1)).is_ok()).count();
            assert_eq!(taken, 3);
            assert_eq!(gcra.remaining(now, rate), 0);
            assert_eq!(gcra.reset(now, rate), Duration::from_millis(300));
        }
    }

    #[test]
    fn a_cost_above_the_burst_takes_the_whole_burst() {
        let rate = Rate::new(n(1), n(2));
        let now = Instant::now();
        let mut gcra = Gcra::full(now);
        assert_eq!(gcra.try_acquire(now, rate, n(5)), Ok(()));
        assert_eq!(gcra.try_acquire(now, rate, n(5)), Err(Duration::from_secs(2)));
    }

    #[test]
    fn usage_under_old_limits_is_converted_to_new_ones() {
        let now = Instant::now();
        let mut gcra = Gcra::full(now);
        while gcra.try_acquire(now, Rate::new(n(1), n(100)), n(1)).is_ok() {}
        let wait = gcra.try_acquire(now, Rate::new(n(100), n(10)), n(1)).unwrap_err();
        assert!(wait <= Duration::from_millis(10), "{wait:?}");
    }

    proptest! {
        #[test]
        fn a_call_succeeds_after_its_retry_delay(
            per_second in 1..2_000u32, burst in 1..200u32, cost in 1..10u32,
            pauses in proptest::collection::vec(0..200u64, 1..200),
        ) {
            let rate = Rate::new(n(per_second), n(burst));
            let mut now = Instant::now();
            let mut gcra = Gcra::full(now);
            for pause in pauses {
                now += Duration::from_millis(pause);
                if let Err(wait) = gcra.try_acquire(now, rate, n(cost)) {
                    let mut later = gcra;
                    prop_assert_eq!(later.try_acquire(now + wait, rate, n(cost)), Ok(()));
                }
            }
        }

        #[test]
        fn every_rejected_caller_succeeds_after_its_retry_delay(
            per_second in 10..2_000u32, burst in 1..50u32, refusals in 1..10usize,
        ) {
            let rate = Rate::new(n(per_second), n(burst));
            let now = Instant::now();
            let mut gcra = Gcra::full(now);
            while gcra.try_acquire(now, rate, n(1)).is_ok() {}
            let mut waits: Vec<_> = (0..refusals).filter_map(|_| gcra.try_acquire(now, rate, n(1)).err()).collect();
            waits.sort();
            for wait in waits {
                prop_assert_eq!(gcra.try_acquire(now + wait, rate, n(1)), Ok(()));
            }
        }

        #[test]
        fn no_more_is_granted_than_burst_and_rate_allow(
            per_second in 1..500u32, burst in 1..50u32,
            pauses in proptest::collection::vec(0..50u64, 1..300),
        ) {
            let rate = Rate::new(n(per_second), n(burst));
            let start = Instant::now();
            let (mut now, mut gcra, mut granted) = (start, Gcra::full(start), 0u32);
            for pause in pauses {
                now += Duration::from_millis(pause);
                granted += u32::from(gcra.try_acquire(now, rate, n(1)).is_ok());
            }
            let earned = (now - start).as_secs_f64() * f64::from(per_second);
            prop_assert!(f64::from(granted) <= f64::from(burst) + earned + 1e-3);
        }
    }
}
