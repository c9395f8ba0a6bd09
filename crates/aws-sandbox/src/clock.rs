//! The embedded AWS's clock. It is always injected, so tests can supply their own.

use std::{fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A source of the current time, cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

// === impl Clock ===

impl Clock {
    /// Starts at the wall-clock time and advances with tokio's time. It therefore never jumps, and stands
    /// still while tokio's time is paused.
    #[must_use]
    pub fn following_tokio() -> Self {
        Self::starting_at(Timestamp::now())
    }

    /// Starts at `start` and advances with tokio's time.
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

    /// Calls `now` for every reading.
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
