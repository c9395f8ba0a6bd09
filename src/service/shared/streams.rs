//! Limits the number of open streams. Streams count separately from calls, so that they cannot use up the
//! limits of calls.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

use parking_lot::Mutex;

use crate::{domain::tenant::TenantId, ports::limit::DropGuard, service::audit::error::ReadError};

/// The maximum numbers of open streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// The maximum of one tenant.
    pub per_tenant: NonZeroU32,
    /// The maximum of all tenants together.
    pub in_all: NonZeroU32,
}

/// Counts the open streams.
#[derive(Debug)]
pub(in crate::service) struct StreamLimiter {
    limits: StreamLimits,
    /// The gauge of open streams.
    gauge: &'static str,
    open: Mutex<HashMap<TenantId, u32>>,
}

// === impl StreamLimits ===

impl Default for StreamLimits {
    fn default() -> Self {
        let count = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self { per_tenant: count(4), in_all: count(256) }
    }
}

// === impl StreamLimiter ===

impl StreamLimiter {
    pub(in crate::service) fn new(limits: StreamLimits, gauge: &'static str) -> Self {
        Self { limits, gauge, open: Mutex::default() }
    }

    /// Counts one more stream until the guard is dropped. Fails if a limit is reached.
    pub(in crate::service) fn try_acquire(
        self: &Arc<Self>,
        tenant: &TenantId,
    ) -> Result<DropGuard, ReadError> {
        let StreamLimits { per_tenant, in_all } = self.limits;
        let mut open = self.open.lock();
        let own = open.get(tenant).copied().unwrap_or_default();
        if own >= per_tenant.get() || open.values().sum::<u32>() >= in_all.get() {
            metrics::counter!("logkey_limit_refused_total", "cause" => "streams").increment(1);
            return Err(ReadError::TooManyStreams);
        }
        open.insert(tenant.clone(), own + 1);
        metrics::gauge!(self.gauge).increment(1.0);
        let (streams, tenant) = (Arc::clone(self), tenant.clone());
        Ok(DropGuard::new(move || streams.release(&tenant)))
    }

    fn release(&self, tenant: &TenantId) {
        let mut open = self.open.lock();
        metrics::gauge!(self.gauge).decrement(1.0);
        if let Some(own) = open.get_mut(tenant) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                open.remove(tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_limited_per_tenant_and_in_all_until_they_end() {
        let count = |count| NonZeroU32::new(count).unwrap();
        let streams =
            Arc::new(StreamLimiter::new(StreamLimits { per_tenant: count(2), in_all: count(3) }, "streams"));
        let [a, b]: [TenantId; 2] = ["a", "b"].map(|id| id.parse().unwrap());
        let first = streams.try_acquire(&a).unwrap();
        let _second = streams.try_acquire(&a).unwrap();
        assert!(matches!(streams.try_acquire(&a), Err(ReadError::TooManyStreams)));
        let third = streams.try_acquire(&b).unwrap();
        assert!(matches!(streams.try_acquire(&b), Err(ReadError::TooManyStreams)), "three in all");
        drop(first);
        drop(streams.try_acquire(&b).unwrap());
        drop(third);
        assert_eq!(streams.open.lock().len(), 1, "only tenants with streams have an entry");
    }
}
