//! Keeps a flood of calls that do not succeed from filling the log: of those that end alike within a
//! second, only the first have a line each. Metrics count all of them, and so does the audit log.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Calls that end alike and have a line each, in a second.
const MAX_PER_SECOND: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

/// Whether a call has a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sampled {
    /// One of its own.
    Own,
    /// One that says that further ones have none.
    Last,
    /// None.
    None,
}

/// The lines of the current second.
#[derive(Debug, Default)]
pub(in crate::server) struct LogSampler(Mutex<Option<Current>>);

#[derive(Debug)]
struct Current {
    ends: Instant,
    /// By status code, of which there are few.
    calls: HashMap<&'static str, u32>,
}

// === impl Lines ===

impl LogSampler {
    /// Whether a call has a line that ends now and with this status code.
    pub(super) fn sample(&self, code: &'static str, now: Instant) -> Sampled {
        if code == "OK" {
            return Sampled::Own;
        }
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
    fn a_flood_has_a_hundred_lines_a_second_and_one_that_says_so() {
        let (lines, now) = (LogSampler::default(), Instant::now());
        let count_logged = |code, at| (0..1_000).map(|_| lines.sample(code, at)).collect::<Vec<_>>();
        let count = |all: &[Sampled], line| all.iter().filter(|one| **one == line).count();
        for second in 0..3 {
            let all = count_logged("RESOURCE_EXHAUSTED", now + second * SECOND);
            assert_eq!((count(&all, Sampled::Own), count(&all, Sampled::Last)), (100, 1));
            assert_eq!(
                lines.sample("ABORTED", now + second * SECOND),
                Sampled::Own,
                "another end has lines of its own"
            );
        }
    }

    #[test]
    fn every_call_that_succeeds_has_a_line() {
        let (lines, now) = (LogSampler::default(), Instant::now());
        assert!((0..1_000).all(|_| lines.sample("OK", now) == Sampled::Own));
    }
}
