//! When a call reached AWS's bucket, as far as sending and answer tell.
//!
//! It was somewhere between the two, and where in between depends on where the time goes: on the way,
//! or at AWS after the bucket was asked. Calls are first clocked by their sending; throttles that only
//! another clock explains move it toward the answers.

use std::time::Duration;

use tokio::time::Instant;

/// Where between sending and answer a call reaches the bucket: the clocks that are tried, in this order.
const PHASES: [f64; 3] = [0.0, 0.5, 1.0];
/// Spacing is told from the quota's to this.
const TOLERANCE: f64 = 0.001;
/// Margin at the beginning, for what timers and the network shorten a spacing by.
const FIRST_MARGIN: f64 = 0.000_5;
/// What a throttle adds to the margin: at least this, and a part of what latency varies by.
const WIDENING: (f64, f64) = (0.002, 0.15);
/// What a success takes from it again: one throttle in so many calls is borne.
const MAX_TOLERATED: f64 = 350.0;
/// What was seen of latency and of a clock fades by this much with each call.
const DECAY: f64 = 0.98;

/// Tells when a call reached the bucket, in seconds after its sending.
#[derive(Debug)]
pub(super) struct ArrivalModel {
    locations: [Observations; PHASES.len()],
    current: usize,
    margin: f64,
    min: Option<f64>,
    max: f64,
    last_accepted: Option<(Instant, f64)>,
}

/// What speaks against a clock.
#[derive(Clone, Copy, Debug, Default)]
struct Observations {
    /// Calls that were accepted although by this clock they came too early.
    against: f64,
}

// === impl Clock ===

impl ArrivalModel {
    pub(super) fn new() -> Self {
        Self {
            locations: [Observations::default(); PHASES.len()],
            current: 0,
            margin: FIRST_MARGIN,
            min: None,
            max: 0.0,
            last_accepted: None,
        }
    }

    fn phase(&self) -> f64 {
        PHASES.get(self.current).copied().unwrap_or(0.0)
    }

    /// When the call after one sent at `sent` may be sent, whose answer took `latency` if it came.
    pub(super) fn next(&self, sent: Instant, period: Duration, latency: Option<Duration>) -> Instant {
        let reached = self.phase() * latency.map_or(self.max, |latency| latency.as_secs_f64());
        let earliest = self.phase() * self.min.unwrap_or(0.0);
        let spacing = period.as_secs_f64() + reached - earliest + self.margin;
        sent + Duration::from_secs_f64(spacing.max(0.0))
    }

    pub(super) fn accepted(&mut self, sent: Instant, latency: Duration, period: Duration) {
        let latency = latency.as_secs_f64();
        self.measured(latency);
        if let Some(previous) = self.last_accepted {
            for (evidence, location) in self.locations.iter_mut().zip(PHASES) {
                let early = phase_gap(previous, (sent, latency), location) < period.as_secs_f64() - TOLERANCE;
                evidence.against = evidence.against * DECAY + f64::from(u8::from(early));
            }
        }
        self.last_accepted = Some((sent, latency));
        let min = if self.current == 0 { FIRST_MARGIN } else { -self.max };
        self.margin = (self.margin - self.widen() / MAX_TOLERATED).max(min);
    }

    /// The step of the margin: jitter is learned within as few throttles, be it small or large.
    fn widen(&self) -> f64 {
        let (min, part) = WIDENING;
        min.max(part * (self.max - self.min.unwrap_or(self.max)))
    }

    fn measured(&mut self, latency: f64) {
        let fading = |decayed: f64| decayed + (latency - decayed) * (1.0 - DECAY);
        self.min = Some(self.min.map_or(latency, |min| latency.min(fading(min))));
        self.max = latency.max(fading(self.max));
    }

    /// Whether a throttle came of calls that met on their way; learns from it if so.
    pub(super) fn is_consistent_with(&mut self, sent: Instant, latency: Duration, period: Duration) -> bool {
        let Some(previous) = self.last_accepted else { return false };
        let (latency, period) = (latency.as_secs_f64(), period.as_secs_f64());
        self.measured(latency);
        let too_early = |location: f64, by: f64| phase_gap(previous, (sent, latency), location) < period - by;
        if too_early(self.phase(), -TOLERANCE) {
            self.margin += self.widen();
            return true;
        }
        for (at, (evidence, location)) in self.locations.iter().zip(PHASES).enumerate().skip(self.current + 1)
        {
            if evidence.against < 0.1 && too_early(location, TOLERANCE / 2.0) {
                self.current = at;
                self.margin = FIRST_MARGIN;
                return true;
            }
        }
        false
    }
}

/// How far apart two calls reached the bucket by a clock.
fn phase_gap((previous, its_latency): (Instant, f64), (sent, latency): (Instant, f64), location: f64) -> f64 {
    sent.saturating_duration_since(previous).as_secs_f64() + location * (latency - its_latency)
}
