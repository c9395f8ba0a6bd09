//! What the reads of the audit log share: the ports, who may read what, and how much at once.

use std::{fmt, sync::Arc};

use tokio::sync::Semaphore;

use super::streams::{StreamLimiter, StreamLimits};
use crate::{
    domain::{
        authorization::{AuditAccess, LogScope, ResourceScope},
        principal::Scope,
    },
    ports::{AuditTree, EventFilter, EventReader, StoredEvent, Unavailable},
    service::{context::Context, error::Error, shared::resolve},
};

/// How many looks into the log run at once, so that calls find the store free.
const MAX_CONCURRENT_SCANS: usize = 2;
/// How far one look reaches, in places of the log.
pub(super) const SCAN_WINDOW: u64 = 16_384;
/// How much of events one answer holds, in bytes, unless one alone is longer.
const MAX_BYTES: usize = 1024 * 1024;

/// What reading the audit log needs beside what calls do.
#[derive(Clone)]
pub struct AuditPorts {
    /// The events.
    pub log: Arc<dyn EventReader>,
    /// The tree over them.
    pub tree: Arc<dyn AuditTree>,
}

/// Reads the audit log on behalf of tenants and operators.
#[derive(Clone)]
pub struct AuditQueries {
    pub(super) ports: AuditPorts,
    pub(super) streams: Arc<StreamLimiter>,
    scans: Arc<Semaphore>,
}

// === impl AuditQueries ===

impl AuditQueries {
    /// Queries over these ports.
    #[must_use]
    pub fn new(ports: AuditPorts, limits: StreamLimits) -> Self {
        let streams = Arc::new(StreamLimiter::new(limits));
        Self { ports, streams, scans: Arc::new(Semaphore::new(MAX_CONCURRENT_SCANS)) }
    }

    /// The newest place in the log.
    pub(super) async fn head(&self) -> Result<u64, Error> {
        let newest = self.ports.log.list(&EventFilter::default(), None, 1).await;
        let newest = newest.map_err(Error::RecordUnavailable)?;
        Ok(newest.first().map_or(0, |event| event.seq))
    }

    /// One look into the log, when it is this one's turn.
    pub(super) async fn scan<F>(&self, read: F) -> Result<Vec<StoredEvent>, Error>
    where
        F: Future<Output = Result<Vec<StoredEvent>, Unavailable>> + Send,
    {
        let _permit = self.scans.acquire().await;
        read.await.map_err(Error::RecordUnavailable)
    }
}

/// Whose events the caller may read.
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

/// What is left of a filter within what stands open; none where nothing can fit.
pub(super) fn restrict(access: &AuditAccess, filter: EventFilter) -> Option<EventFilter> {
    match (access.tenant(), &filter.tenant) {
        (Some(own), Some(other)) if own != other => None,
        (Some(own), _) => Some(EventFilter { tenant: Some(own.clone()), ..filter }),
        (None, _) => Some(filter),
    }
}

/// How many of these fit into one answer.
pub(super) fn matching(events: &[StoredEvent]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take_while(|event| {
        bytes += event.body.len();
        bytes <= MAX_BYTES
    });
    fits.count().max(1)
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
