//! When a call reached AWS's bucket, as far as sending and answer tell.
//!
//! It was somewhere between the two, and where in between depends on where the time goes: on the way,
//! or at AWS after the bucket was asked. Calls are first clocked by their sending; throttles that only
//! another clock explains move it toward the answers.

use std::time::Duration;

use tokio::time::Instant;

/// Where between sending and answer a call reaches the bucket: the clocks that are tried, in this order.
const PLACES: [f64; 3] = [0.0, 0.5, 1.0];
/// Spacing is told from the quota's to this.
const TOLERANCE: f64 = 0.001;
/// Margin at the beginning, for what timers and the network shorten a spacing by.
const FIRST_MARGIN: f64 = 0.000_5;
/// What a throttle adds to the margin: at least this, and a part of what latency varies by.
const WIDER: (f64, f64) = (0.002, 0.15);
/// What a success takes from it again: one throttle in so many calls is borne.
const BORNE: f64 = 350.0;
/// What was seen of latency and of a clock fades by this much with each call.
const FADING: f64 = 0.98;

/// Tells when a call reached the bucket, in seconds after its sending.
#[derive(Debug)]
pub(super) struct Clock {
    places: [Evidence; PLACES.len()],
    current: usize,
    margin: f64,
    least: Option<f64>,
    most: f64,
    last_accepted: Option<(Instant, f64)>,
}

/// What speaks against a clock.
#[derive(Clone, Copy, Debug, Default)]
struct Evidence {
    /// Calls that were accepted although by this clock they came too early.
    against: f64,
}

// === impl Clock ===

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            places: [Evidence::default(); PLACES.len()],
            current: 0,
            margin: FIRST_MARGIN,
            least: None,
            most: 0.0,
            last_accepted: None,
        }
    }

    fn place(&self) -> f64 {
        PLACES.get(self.current).copied().unwrap_or(0.0)
    }

    /// When the call after one sent at `sent` may be sent, whose answer took `latency` if it came.
    pub(super) fn next(&self, sent: Instant, period: Duration, latency: Option<Duration>) -> Instant {
        let reached = self.place() * latency.map_or(self.most, |latency| latency.as_secs_f64());
        let soonest = self.place() * self.least.unwrap_or(0.0);
        let spacing = period.as_secs_f64() + reached - soonest + self.margin;
        sent + Duration::from_secs_f64(spacing.max(0.0))
    }

    pub(super) fn accepted(&mut self, sent: Instant, latency: Duration, period: Duration) {
        let latency = latency.as_secs_f64();
        self.measured(latency);
        if let Some(before) = self.last_accepted {
            for (evidence, place) in self.places.iter_mut().zip(PLACES) {
                let early = gap(before, (sent, latency), place) < period.as_secs_f64() - TOLERANCE;
                evidence.against = evidence.against * FADING + f64::from(u8::from(early));
            }
        }
        self.last_accepted = Some((sent, latency));
        let least = if self.current == 0 { FIRST_MARGIN } else { -self.most };
        self.margin = (self.margin - self.wider() / BORNE).max(least);
    }

    /// The step of the margin: jitter is learned within as few throttles, be it small or large.
    fn wider(&self) -> f64 {
        let (least, part) = WIDER;
        least.max(part * (self.most - self.least.unwrap_or(self.most)))
    }

    fn measured(&mut self, latency: f64) {
        let fading = |seen: f64| seen + (latency - seen) * (1.0 - FADING);
        self.least = Some(self.least.map_or(latency, |least| latency.min(fading(least))));
        self.most = latency.max(fading(self.most));
    }

    /// Whether a throttle came of calls that met on their way; learns from it if so.
    pub(super) fn explains(&mut self, sent: Instant, latency: Duration, period: Duration) -> bool {
        let Some(before) = self.last_accepted else { return false };
        let (latency, period) = (latency.as_secs_f64(), period.as_secs_f64());
        self.measured(latency);
        let too_early = |place: f64, by: f64| gap(before, (sent, latency), place) < period - by;
        if too_early(self.place(), -TOLERANCE) {
            self.margin += self.wider();
            return true;
        }
        for (at, (evidence, place)) in self.places.iter().zip(PLACES).enumerate().skip(self.current + 1) {
            if evidence.against < 0.1 && too_early(place, TOLERANCE / 2.0) {
                self.current = at;
                self.margin = FIRST_MARGIN;
                return true;
            }
        }
        false
    }
}

/// How far apart two calls reached the bucket by a clock.
fn gap((before, its_latency): (Instant, f64), (sent, latency): (Instant, f64), place: f64) -> f64 {
    sent.saturating_duration_since(before).as_secs_f64() + place * (latency - its_latency)
}
