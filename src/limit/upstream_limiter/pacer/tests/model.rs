//! AWS's side in virtual time: a bucket, the way to it, and who else draws on it.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a model's seconds and nanoseconds"
)]

use std::{cmp::Reverse, collections::BinaryHeap};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

/// How late timers fire, at most.
const LATENESS: f64 = 0.000_5;
/// What AWS gives in a second.
const QUOTA: f64 = 5.0;

/// What AWS is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct TestEnv {
    /// How deep the bucket is.
    pub(super) burst: f64,
    /// Seconds from sending to answer.
    pub(super) latency: (f64, f64),
    /// Which part of them lies before the bucket is asked.
    pub(super) on_the_way: f64,
    /// Calls a second of someone else.
    pub(super) unseen: f64,
    /// Whether these come at random instants rather than regularly.
    pub(super) at_random: bool,
    /// When they end.
    pub(super) unseen_until: f64,
}

/// What was seen at AWS.
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
    Unseen,
}

struct Bucket {
    depth: f64,
    tokens: f64,
    filled: u64,
}

/// A caller that always has another call, watched for some seconds after others.
pub(super) fn run(env: TestEnv, from: f64, seconds: f64, nth: u64) -> RunStats {
    let mut rng = StdRng::seed_from_u64(nth);
    let start = Instant::now();
    let mut pacer = Pacer::new(five(), start);
    let mut bucket = Bucket { depth: env.burst, tokens: env.burst, filled: 0 };
    let mut events = BinaryHeap::from([Reverse((0, Event::Wake))]);
    if env.unseen > 0.0 {
        events.push(Reverse((nanos(rng.random()), Event::Unseen)));
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
                events.push(Reverse((at + nanos(latency * env.on_the_way), Event::Reaches(calls.len()))));
                calls.push((pacer.sent(now), latency * (1.0 - env.on_the_way)));
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
            Event::Unseen => {
                bucket.take(at);
                let mean = 1.0 / env.unseen;
                let pause = if env.at_random { -mean * (1.0 - rng.random::<f64>()).ln() } else { mean };
                if at + nanos(pause) < nanos(env.unseen_until) {
                    events.push(Reverse((at + nanos(pause), Event::Unseen)));
                }
            }
        }
        // Timers fire at full milliseconds and a little late.
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

// === impl Seen ===

impl RunStats {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            throttled: self.throttled + other.throttled,
            seconds: self.seconds + other.seconds,
        }
    }

    /// Accepted calls a second.
    pub(super) fn rate(&self) -> f64 {
        f64::from(self.accepted) / self.seconds
    }

    /// Throttles for each accepted call.
    pub(super) fn throttles(&self) -> f64 {
        f64::from(self.throttled) / f64::from(self.accepted)
    }
}
