//! A model of AWS in virtual time: a token bucket, the latency before and after it, and another client.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the model converts between seconds and nanoseconds"
)]

use std::{cmp::Reverse, collections::BinaryHeap};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

/// The maximum delay of a timer, in seconds.
const LATENESS: f64 = 0.000_5;
/// The calls per second that AWS allows.
const QUOTA: f64 = 5.0;

/// The parameters of the model.
#[derive(Clone, Copy, Debug)]
pub(super) struct TestEnv {
    /// The depth of the bucket.
    pub(super) burst: f64,
    /// The range of the seconds from sending to response.
    pub(super) latency: (f64, f64),
    /// The fraction of the latency before the bucket.
    pub(super) before_bucket: f64,
    /// The calls per second of another client.
    pub(super) other_rate: f64,
    /// Whether these calls come at random times instead of regularly.
    pub(super) at_random: bool,
    /// When these calls end, in seconds.
    pub(super) other_until: f64,
}

/// The calls that the modelled AWS received.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RunStats {
    pub(super) accepted: u32,
    pub(super) throttled: u32,
    seconds: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake,
    Reaches(usize),
    Answered(usize, bool),
    OtherClient,
}

struct Bucket {
    depth: f64,
    tokens: f64,
    filled: u64,
}

/// Runs a caller that always has another call, and measures `seconds` seconds after the first `from` seconds.
pub(super) fn run(env: TestEnv, from: f64, seconds: f64, nth: u64) -> RunStats {
    let mut rng = StdRng::seed_from_u64(nth);
    let start = Instant::now();
    let mut pacer = Pacer::new(five(), start);
    let mut bucket = Bucket { depth: env.burst, tokens: env.burst, filled: 0 };
    let mut events = BinaryHeap::from([Reverse((0, Event::Wake))]);
    if env.other_rate > 0.0 {
        events.push(Reverse((nanos(rng.random()), Event::OtherClient)));
    }
    let mut calls: Vec<(SentCall, f64)> = Vec::new();
    let mut stats = RunStats { seconds, ..RunStats::default() };
    let mut wake = 0;
    while let Some(Reverse((at, event))) = events.pop() {
        if at > nanos(from + seconds) {
            break;
        }
        let now = start + Duration::from_nanos(at);
        match event {
            Event::Wake if at == wake && pacer.next() <= now => {
                let latency = rng.random_range(env.latency.0..env.latency.1);
                events.push(Reverse((at + nanos(latency * env.before_bucket), Event::Reaches(calls.len()))));
                calls.push((pacer.sent(now), latency * (1.0 - env.before_bucket)));
            }
            Event::Wake => continue,
            Event::Reaches(call) => {
                let accepted = bucket.take(at);
                events.push(Reverse((at + nanos(calls[call].1), Event::Answered(call, accepted))));
                if at >= nanos(from) {
                    stats.accepted += u32::from(accepted);
                    stats.throttled += u32::from(!accepted);
                }
            }
            Event::Answered(call, true) => pacer.on_outcome(now, calls[call].0, UpstreamOutcome::Counted),
            Event::Answered(call, false) => pacer.on_outcome(now, calls[call].0, UpstreamOutcome::Throttled),
            Event::OtherClient => {
                bucket.take(at);
                let mean = 1.0 / env.other_rate;
                let pause = if env.at_random { -mean * (1.0 - rng.random::<f64>()).ln() } else { mean };
                if at + nanos(pause) < nanos(env.other_until) {
                    events.push(Reverse((at + nanos(pause), Event::OtherClient)));
                }
            }
        }
        // Timers fire at whole milliseconds, and a little late.
        let due = pacer.next().saturating_duration_since(start).as_secs_f64();
        wake = nanos((due * 1e3).ceil() / 1e3 + LATENESS * rng.random::<f64>()).max(at);
        events.push(Reverse((wake, Event::Wake)));
    }
    stats
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

// === impl Bucket ===

impl Bucket {
    fn take(&mut self, at: u64) -> bool {
        let earned = (at - self.filled) as f64 / 1e9 * QUOTA;
        self.tokens = (self.tokens + earned).min(self.depth);
        self.filled = at;
        let enough = self.tokens >= 1.0 - 1e-9;
        self.tokens -= f64::from(u8::from(enough));
        enough
    }
}

// === impl RunStats ===

impl RunStats {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            throttled: self.throttled + other.throttled,
            seconds: self.seconds + other.seconds,
        }
    }

    /// The accepted calls per second.
    pub(super) fn rate(&self) -> f64 {
        f64::from(self.accepted) / self.seconds
    }

    /// The throttles per accepted call.
    pub(super) fn throttles(&self) -> f64 {
        f64::from(self.throttled) / f64::from(self.accepted)
    }
}
