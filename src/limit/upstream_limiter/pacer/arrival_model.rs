//! Estimates when a call reached AWS's token bucket, between its sending and its response. Where in between
//! depends on whether the latency comes before or after the bucket. The model starts with the sending;
//! throttles that only a later phase explains move it toward the response.

use std::time::Duration;

use tokio::time::Instant;

/// The fractions of the latency after which a call may reach the bucket. They are tried in this order.
const PHASES: [f64; 3] = [0.0, 0.5, 1.0];
/// The tolerance when a spacing is compared with the quota's, in seconds.
const TOLERANCE: f64 = 0.001;
/// The initial margin in seconds, because timers and the network can shorten a spacing.
const FIRST_MARGIN: f64 = 0.000_5;
/// What a throttle adds to the margin: at least the first value in seconds, or this fraction of the variation
/// of the latency.
const WIDENING: (f64, f64) = (0.002, 0.15);
/// The accepted calls that undo the margin of one throttle, so one throttle in this number of calls is
/// tolerated.
const CALLS_PER_THROTTLE: f64 = 350.0;
/// The factor by which older measurements decay with each call.
const DECAY: f64 = 0.98;

/// Estimates when calls reach the bucket. All durations are in seconds.
#[derive(Debug)]
pub(super) struct ArrivalModel {
    phases: [Observations; PHASES.len()],
    current: usize,
    margin: f64,
    min_latency: Option<f64>,
    max_latency: f64,
    last_accepted: Option<(Instant, f64)>,
}

/// The evidence against a phase.
#[derive(Clone, Copy, Debug, Default)]
struct Observations {
    /// The decayed number of calls that AWS accepted although this phase says that they came too early.
    against: f64,
}

// === impl ArrivalModel ===

impl ArrivalModel {
    pub(super) fn new() -> Self {
        Self {
            phases: [Observations::default(); PHASES.len()],
            current: 0,
            margin: FIRST_MARGIN,
            min_latency: None,
            max_latency: 0.0,
            last_accepted: None,
        }
    }

    fn phase(&self) -> f64 {
        PHASES.get(self.current).copied().unwrap_or(0.0)
    }

    /// When the next call may be sent after one at `sent`; `latency` is `None` if its response has not come
    /// yet.
    pub(super) fn next(&self, sent: Instant, period: Duration, latency: Option<Duration>) -> Instant {
        let arrival = self.phase() * latency.map_or(self.max_latency, |latency| latency.as_secs_f64());
        let earliest_arrival = self.phase() * self.min_latency.unwrap_or(0.0);
        let spacing = period.as_secs_f64() + arrival - earliest_arrival + self.margin;
        sent + Duration::from_secs_f64(spacing.max(0.0))
    }

    pub(super) fn accepted(&mut self, sent: Instant, latency: Duration, period: Duration) {
        let latency = latency.as_secs_f64();
        self.record_latency(latency);
        if let Some(previous) = self.last_accepted {
            for (evidence, phase) in self.phases.iter_mut().zip(PHASES) {
                let early = phase_gap(previous, (sent, latency), phase) < period.as_secs_f64() - TOLERANCE;
                evidence.against = evidence.against * DECAY + f64::from(u8::from(early));
            }
        }
        self.last_accepted = Some((sent, latency));
        let min = if self.current == 0 { FIRST_MARGIN } else { -self.max_latency };
        self.margin = (self.margin - self.widen() / CALLS_PER_THROTTLE).max(min);
    }

    /// The step of the margin. It grows with the jitter, so that small and large jitter need equally few
    /// throttles.
    fn widen(&self) -> f64 {
        let (min, part) = WIDENING;
        min.max(part * (self.max_latency - self.min_latency.unwrap_or(self.max_latency)))
    }

    fn record_latency(&mut self, latency: f64) {
        let decay = |decayed: f64| decayed + (latency - decayed) * (1.0 - DECAY);
        self.min_latency = Some(self.min_latency.map_or(latency, |min| latency.min(decay(min))));
        self.max_latency = latency.max(decay(self.max_latency));
    }

    /// Whether jitter explains a throttle: two calls reached the bucket too close together. If so, adjusts
    /// the model.
    pub(super) fn is_consistent_with(&mut self, sent: Instant, latency: Duration, period: Duration) -> bool {
        let Some(previous) = self.last_accepted else { return false };
        let (latency, period) = (latency.as_secs_f64(), period.as_secs_f64());
        self.record_latency(latency);
        let too_early = |phase: f64, by: f64| phase_gap(previous, (sent, latency), phase) < period - by;
        if too_early(self.phase(), -TOLERANCE) {
            self.margin += self.widen();
            return true;
        }
        for (at, (evidence, phase)) in self.phases.iter().zip(PHASES).enumerate().skip(self.current + 1) {
            if evidence.against < 0.1 && too_early(phase, TOLERANCE / 2.0) {
                self.current = at;
                self.margin = FIRST_MARGIN;
                return true;
            }
        }
        false
    }
}

/// The time between the arrivals of two calls at the bucket, according to a phase.
fn phase_gap((previous, its_latency): (Instant, f64), (sent, latency): (Instant, f64), phase: f64) -> f64 {
    sent.saturating_duration_since(previous).as_secs_f64() + phase * (latency - its_latency)
}
