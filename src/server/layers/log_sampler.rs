//! Keeps a flood of failed calls from filling the log: per status code and second, only the first calls get
//! a log line. The metrics and the audit log still count every call.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// The maximum number of log lines per second for one status code other than `OK`.
const MAX_PER_SECOND: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

/// Which log line a call gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sampled {
    /// Its own line.
    Own,
    /// A line that says that further calls in this second get none.
    Last,
    /// No line.
    None,
}

/// Counts the log lines of the current second.
#[derive(Debug, Default)]
pub(in crate::server) struct LogSampler(Mutex<Option<Current>>);

#[derive(Debug)]
struct Current {
    ends: Instant,
    /// By status code, so the map stays small.
    calls: HashMap<&'static str, u32>,
}

// === impl LogSampler ===

impl LogSampler {
    /// Decides which line a call gets that ends now with this status code.
    pub(super) fn sample(&self, code: &'static str, now: Instant) -> Sampled {
        if code == "OK" {
            return Sampled::Own;
        }
        let mut current = self.0.lock();
        if current.as_ref().is_none_or(|second| second.ends <= now) {
            *current = None;
        }
        let second = current.get_or_insert_with(|| Current { ends: now + SECOND, calls: HashMap::new() });
        let calls = second.calls.entry(code).or_default();
        *calls = calls.saturating_add(1);
        match *calls {
            ..=MAX_PER_SECOND => Sampled::Own,
            calls if calls == MAX_PER_SECOND + 1 => Sampled::Last,
            _ => Sampled::None,
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_flood_gets_a_hundred_lines_a_second_and_a_notice() {
        let (lines, now) = (LogSampler::default(), Instant::now());
        let count_logged = |code, at| (0..1_000).map(|_| lines.sample(code, at)).collect::<Vec<_>>();
        let count = |all: &[Sampled], line| all.iter().filter(|one| **one == line).count();
        for second in 0..3 {
            let all = count_logged("RESOURCE_EXHAUSTED", now + second * SECOND);
            assert_eq!((count(&all, Sampled::Own), count(&all, Sampled::Last)), (100, 1));
            assert_eq!(
                lines.sample("ABORTED", now + second * SECOND),
                Sampled::Own,
                "another code has its own limit"
            );
        }
    }

    #[test]
    fn every_successful_call_gets_a_line() {
        let (lines, now) = (LogSampler::default(), Instant::now());
        assert!((0..1_000).all(|_| lines.sample("OK", now) == Sampled::Own));
    }
}
