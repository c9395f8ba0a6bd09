//! The lease of a worker that processes bulk jobs.

#[cfg(test)]
mod tests;

use std::time::Instant;

use parking_lot::Mutex;

/// Until when a worker's claims are valid. After that, another worker may have the same claims, so an ended lease is
/// never extended.
#[derive(Debug)]
pub(in crate::service) struct Lease(Mutex<Validity>);

#[derive(Clone, Copy, Debug)]
enum Validity {
    /// No other worker exists.
    Unlimited,
    /// The store has not confirmed it yet. Since when.
    Unconfirmed(Instant),
    Until(Instant),
}

// === impl Lease ===

impl Lease {
    /// A lease that does not end.
    pub(in crate::service) fn unlimited() -> Self {
        Self(Mutex::new(Validity::Unlimited))
    }

    /// A lease that is valid from its first extension on.
    pub(in crate::service) fn unconfirmed(now: Instant) -> Self {
        Self(Mutex::new(Validity::Unconfirmed(now)))
    }

    /// Until when the claims are valid. `None` if no other worker exists.
    pub(in crate::service) fn valid_until(&self) -> Option<Instant> {
        match *self.0.lock() {
            Validity::Unlimited => None,
            Validity::Unconfirmed(until) | Validity::Until(until) => Some(until),
        }
    }

    /// Whether the lease was valid and is not any more.
    pub(in crate::service) fn has_ended(&self, now: Instant) -> bool {
        matches!(*self.0.lock(), Validity::Until(until) if until <= now)
    }

    /// Extends the lease, unless it has ended.
    pub(in crate::service) fn extend(&self, now: Instant, until: Instant) {
        let mut validity = self.0.lock();
        match *validity {
            Validity::Unlimited => {}
            Validity::Until(ended) if ended <= now => {}
            Validity::Until(_) | Validity::Unconfirmed(_) => *validity = Validity::Until(until),
        }
    }
}
