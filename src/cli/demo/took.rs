//! How long a step of the demo took, and how much of that was the wait for AWS's quotas.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// When a step started, and how long calls had waited for AWS's quotas until then.
#[derive(Clone, Copy)]
pub(super) struct Started {
    at: Instant,
    quota_wait: Duration,
}

/// How long a step took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    /// The whole time.
    pub(super) total: Duration,
    /// How long its calls together waited for AWS's quotas.
    pub(super) quota_wait: Duration,
}

// === impl Started ===

impl Started {
    /// A step that starts now, when calls have waited this long for AWS's quotas.
    pub(super) fn now(quota_wait: Duration) -> Self {
        Self { at: Instant::now(), quota_wait }
    }

    /// A step without calls to AWS that starts now.
    pub(super) fn without_calls() -> Self {
        Self::now(Duration::ZERO)
    }

    /// How long a step without calls to AWS took that ends now.
    pub(super) fn took_without_calls(self) -> Took {
        Took { total: self.elapsed(), quota_wait: Duration::ZERO }
    }

    pub(super) fn elapsed(self) -> Duration {
        self.at.elapsed()
    }

    /// How long the step took, when calls have waited this long for AWS's quotas at its end.
    pub(super) fn took(self, total: Duration, quota_wait: Duration) -> Took {
        Took { total, quota_wait: quota_wait.saturating_sub(self.quota_wait) }
    }
}

// === impl Took ===

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, quota_wait } = self;
        write!(f, "{} ms", total.as_millis())?;
        match quota_wait.as_millis() {
            0 => Ok(()),
            wait if quota_wait <= total => write!(f, ", of which {wait} ms waiting for AWS's quota"),
            wait => write!(f, "; its calls together waited {wait} ms for AWS's quotas"),
        }
    }
}
