//! What time it is in the embedded AWS. Given, never taken: tests hand in their own.

use std::{fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A source of the current time, cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

// === impl Clock ===

impl Clock {
    /// Starts at the wall clock and goes on with tokio's time, so that it stands still when that
    /// is paused and never jumps.
    #[must_use]
    pub fn following_tokio() -> Self {
        Self::starting_at(Timestamp::now())
    }

    /// Starts at `start` and goes on with tokio's time.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Self {
        let started = Instant::now();
        Self::from_fn(move || {
            SignedDuration::try_from(started.elapsed())
                .ok()
                .and_then(|elapsed| start.checked_add(elapsed).ok())
                .unwrap_or(Timestamp::MAX)
        })
    }

    /// Asks `now` every time.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::following_tokio()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
