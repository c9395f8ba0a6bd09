//! Keeps a flood of calls that do not succeed from filling the log: of those that end alike within a
//! second, only the first have a line each. Metrics count all of them, and so does the audit log.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Calls that end alike and have a line each, in a second.
const MOST: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

/// Whether a call has a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// One of its own.
    Own,
    /// One that says that further ones have none.
    Last,
    /// None.
    None,
}

/// The lines of the current second.
#[derive(Debug, Default)]
pub(in crate::server) struct Lines(Mutex<Option<Current>>);

#[derive(Debug)]
struct Current {
    ends: Instant,
    /// By status code, of which there are few.
    calls: HashMap<&'static str, u32>,
}

// === impl Lines ===

impl Lines {
    /// Whether a call has a line that ends now and with this status code.
    pub(super) fn of(&self, code: &'static str, now: Instant) -> Line {
        if code == "OK" {
            return Line::Own;
        }
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_none_or(|second| second.ends <= now) {
            *current = None;
        }
        let second = current.get_or_insert_with(|| Current { ends: now + SECOND, calls: HashMap::new() });
        let calls = second.calls.entry(code).or_default();
        *calls = calls.saturating_add(1);
        match *calls {
            ..=MOST => Line::Own,
            calls if calls == MOST + 1 => Line::Last,
            _ => Line::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_has_a_hundred_lines_a_second_and_one_that_says_so() {
        let (lines, now) = (Lines::default(), Instant::now());
        let told = |code, at| (0..1_000).map(|_| lines.of(code, at)).collect::<Vec<_>>();
        let count = |all: &[Line], line| all.iter().filter(|one| **one == line).count();
        for second in 0..3 {
            let all = told("RESOURCE_EXHAUSTED", now + second * SECOND);
            assert_eq!((count(&all, Line::Own), count(&all, Line::Last)), (100, 1));
            assert_eq!(
                lines.of("ABORTED", now + second * SECOND),
                Line::Own,
                "another end has lines of its own"
            );
        }
    }

    #[test]
    fn every_call_that_succeeds_has_a_line() {
        let (lines, now) = (Lines::default(), Instant::now());
        assert!((0..1_000).all(|_| lines.of("OK", now) == Line::Own));
    }
}
