//! What the log line of a call says about it. The layers and the use case fill it in while the call runs.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::trace_id::TraceId;
use crate::domain::{
    association::{Location, Resource},
    principal::Principal,
    reason::Reason,
};

/// What the log line of a call says about it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct CallSummary(Arc<Facts>);

#[derive(Debug, Default)]
struct Facts {
    trace: OnceLock<TraceId>,
    principal: OnceLock<Arc<Principal>>,
    location: OnceLock<Location>,
    resource: OnceLock<Resource>,
    reason: OnceLock<Reason>,
    quota_wait_us: AtomicU64,
}

// === impl CallSummary ===

impl CallSummary {
    /// Sets the trace that the call belongs to.
    pub fn set_trace(&self, trace: TraceId) {
        let _first = self.0.trace.set(trace);
    }

    /// Sets the caller whom the token proves.
    pub fn set_principal(&self, principal: &Arc<Principal>) {
        let _first = self.0.principal.set(Arc::clone(principal));
    }

    /// Sets the account and Region.
    pub fn set_location(&self, location: &Location) {
        let _first = self.0.location.set(location.clone());
    }

    /// Sets the resource.
    pub fn set_resource(&self, resource: &Resource) {
        let _first = self.0.resource.set(resource.clone());
    }

    /// Sets why the call failed.
    pub fn set_reason(&self, reason: Reason) {
        let _first = self.0.reason.set(reason);
    }

    /// Adds a wait for an upstream permit.
    pub fn add_quota_wait(&self, wait: Duration) {
        let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.0.quota_wait_us.fetch_add(wait, Ordering::Relaxed);
    }

    /// The trace that the call belongs to.
    #[must_use]
    pub fn trace(&self) -> Option<TraceId> {
        self.0.trace.get().copied()
    }

    /// The caller whom the token proves.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.0.principal.get().map(|principal| &**principal)
    }

    /// The account and Region.
    #[must_use]
    pub fn location(&self) -> Option<&Location> {
        self.resource().map(|resource| &resource.location).or_else(|| self.0.location.get())
    }

    /// The resource.
    #[must_use]
    pub fn resource(&self) -> Option<&Resource> {
        self.0.resource.get()
    }

    /// Why the call failed.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.0.reason.get().copied()
    }

    /// The sum of the waits for upstream permits.
    #[must_use]
    pub fn quota_wait(&self) -> Duration {
        Duration::from_micros(self.0.quota_wait_us.load(Ordering::Relaxed))
    }
}
