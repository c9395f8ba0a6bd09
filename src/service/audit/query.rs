//! The parts that all reads of the audit log share: their ports, their authorization and their limits.

use std::{fmt, sync::Arc};

use crate::{
    domain::{
        authorization::{AuditAccess, LogScope, ResourceScope},
        principal::Scope,
    },
    ports::{AuditTree, EventArchive, EventFilter, EventReader, StoredEvent},
    service::{
        context::Context,
        error::Error,
        shared::{
            resolve,
            streams::{StreamLimiter, StreamLimits},
        },
    },
};

/// The number of positions of the log that one read covers.
pub(super) const SCAN_WINDOW: u64 = 16_384;
/// The maximum size of the events in one response, in bytes. A single longer event still fits.
const MAX_BYTES: usize = 1024 * 1024;

/// The ports of reads of the audit log, in addition to [`Dependencies`](crate::service::Dependencies).
#[derive(Clone)]
pub struct AuditPorts {
    /// Reads events.
    pub log: Arc<dyn EventReader>,
    /// Reads the tree over the events, and its checkpoints.
    pub tree: Arc<dyn AuditTree>,
    /// Reads events that left the store. `None` without an archive in the settings.
    pub archive: Option<Arc<dyn EventArchive>>,
}

/// Reads the audit log on behalf of tenants and operators.
#[derive(Clone)]
pub struct AuditQueries {
    pub(super) ports: AuditPorts,
    pub(super) streams: Arc<StreamLimiter>,
}

// === impl AuditQueries ===

impl AuditQueries {
    /// Creates the queries over these ports.
    #[must_use]
    pub fn new(ports: AuditPorts, limits: StreamLimits) -> Self {
        let streams = Arc::new(StreamLimiter::new(limits, "logkey_audit_streams"));
        Self { ports, streams }
    }

    /// The position of the newest event. 0 if the log is empty.
    pub(super) async fn head(&self, cx: &Context) -> Result<u64, Error> {
        let newest = cx.in_turn(self.ports.log.list(&EventFilter::default(), None, 1)).await?;
        Ok(newest.first().map_or(0, |event| event.seq))
    }
}

/// Decides whose events the caller may read.
pub(super) fn authorize(cx: &mut Context) -> Result<AuditAccess, Error> {
    let admin = cx.caller.scopes.contains(Scope::Admin);
    if !admin {
        cx.require(Scope::Audit)?;
    }
    let tenant = cx.tenant()?;
    let decide = |log_scope| {
        AuditAccess::decide(|request| cx.decide(request), &cx.call, &cx.caller, &tenant, log_scope)
    };
    let mut decided = decide(if admin { LogScope::All } else { LogScope::Own });
    if admin && decided.is_err() && cx.caller.scopes.contains(Scope::Audit) {
        decided = decide(LogScope::Own);
    }
    match decided {
        Ok(access) => {
            cx.audit.allowed(access.policies());
            Ok(access)
        }
        Err(denial) => {
            cx.audit.denied(&denial);
            Err(resolve::mask_denial(denial, ResourceScope::AuditLog(LogScope::Own)))
        }
    }
}

/// Restricts the filter to what the caller may see. `None` if no event can match.
pub(super) fn restrict(access: &AuditAccess, filter: EventFilter) -> Option<EventFilter> {
    match (access.tenant(), &filter.tenant) {
        (Some(own), Some(other)) if own != other => None,
        (Some(own), _) => Some(EventFilter { tenant: Some(own.clone()), ..filter }),
        (None, _) => Some(filter),
    }
}

/// The number of these events that fit into one response, at least 1.
pub(super) fn fitting_count(events: &[StoredEvent]) -> usize {
    let mut bytes = 0;
    let fitting = events.iter().take_while(|event| {
        bytes += event.body.len();
        bytes <= MAX_BYTES
    });
    fitting.count().max(1)
}

impl fmt::Debug for AuditQueries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditQueries").finish_non_exhaustive()
    }
}

impl fmt::Debug for AuditPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditPorts")
    }
}
