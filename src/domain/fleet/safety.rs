//! The limits that a job sets itself.

use serde::{Deserialize, Serialize};

use super::micros;
use crate::domain::time::Timestamp;

/// The number of failures above which a job pauses, if its creator sets none.
pub const DEFAULT_MAX_FAILURES: u32 = 20;

/// The limits of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Safety {
    /// The job pauses when more items than this have failed since it was started or resumed.
    pub max_failures: u32,
    /// The job pauses after this many successes until it is resumed. 0 is no canary.
    pub canary: u32,
    /// No call is sent before this time.
    #[serde(with = "micros")]
    pub start_time: Option<Timestamp>,
    /// No call is sent at or after this time.
    #[serde(with = "micros")]
    pub end_time: Option<Timestamp>,
}

// === impl Safety ===

impl Default for Safety {
    fn default() -> Self {
        Self { max_failures: DEFAULT_MAX_FAILURES, canary: 0, start_time: None, end_time: None }
    }
}

impl Safety {
    /// Whether calls may be sent at this time.
    #[must_use]
    pub fn window_contains(&self, now: Timestamp) -> bool {
        self.start_time.is_none_or(|start| now >= start) && !self.window_is_over(now)
    }

    /// Whether the window has ended.
    #[must_use]
    pub fn window_is_over(&self, now: Timestamp) -> bool {
        self.end_time.is_some_and(|end| now >= end)
    }
}
