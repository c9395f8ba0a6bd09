//! The lease of a worker that processes bulk jobs.

use std::time::Instant;

use parking_lot::Mutex;

/// Until when a worker's claims are valid. After that, another worker may have the same claims.
#[derive(Debug, Default)]
pub(in crate::service) struct Lease(Mutex<Option<Instant>>);

// === impl Lease ===

impl Lease {
    /// Until when the claims are valid. `None` if no other worker exists.
    pub(in crate::service) fn valid_until(&self) -> Option<Instant> {
        *self.0.lock()
    }

    /// Extends the lease.
    pub(in crate::service) fn extend(&self, until: Instant) {
        *self.0.lock() = Some(until);
    }
}
