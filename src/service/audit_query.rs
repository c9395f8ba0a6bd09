//! Reading the audit log: a tenant its own events, an operator all. Asked by `server::grpc::audit`;
//! each reading is itself recorded.

mod error;
mod list;
mod proofs;
mod streams;
mod watch;

use std::{fmt, sync::Arc};

use tokio::sync::Semaphore;

use self::streams::StreamLimiter;
pub use self::{
    error::ReadError,
    list::EventPage,
    proofs::{AuditHead, ConsistencyProof, InclusionProof},
    streams::StreamLimits,
    watch::{EventBatch, EventStream},
};
use super::{Error, KeyBroker, audit_context::AuditContext, require_scope};
use crate::{
    domain::{
        authorization::{AuditAccess, Denial, LogScope},
        call::Call,
        principal::{Principal, Scope},
    },
    ports::{AuditTree, ConfigSnapshot, EventFilter, EventReader, StoredEvent},
};

/// How many looks into the log run at once, so that calls find the store free.
const MAX_CONCURRENT_SCANS: usize = 2;
/// How far one look reaches, in places of the log.
const SCAN_WINDOW: u64 = 16_384;
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
    broker: KeyBroker,
    ports: AuditPorts,
    streams: Arc<StreamLimiter>,
    scans: Arc<Semaphore>,
}

// === impl AuditReads ===

impl AuditQueries {
    /// Over the broker's ports and these.
    #[must_use]
    pub fn new(broker: KeyBroker, ports: AuditPorts, limits: StreamLimits) -> Self {
        let (streams, scans) =
            (Arc::new(StreamLimiter::new(limits)), Arc::new(Semaphore::new(MAX_CONCURRENT_SCANS)));
        Self { broker, ports, streams, scans }
    }

    /// The same, keeping to this as [`KeyBroker::under`] does.
    #[must_use]
    pub fn pinned_to(&self, in_force: &Arc<dyn ConfigSnapshot>) -> Self {
        Self { broker: self.broker.pinned_to(in_force), ..self.clone() }
    }

    /// Whose events the caller may do this with.
    fn authorize(
        &self,
        call: &Call,
        principal: &Principal,
        audit: &mut AuditContext,
    ) -> Result<AuditAccess, Error> {
        let admin = principal.scopes.contains(Scope::Admin);
        if !admin {
            require_scope(principal, Scope::Audit)?;
        }
        let broker = self.broker.pinned_to(&self.broker.snapshot());
        let tenant = broker.tenant(principal)?;
        let decide = |log_scope| {
            AuditAccess::decide(|question| broker.decide(question), call, principal, &tenant, log_scope)
        };
        let mut decided = decide(if admin { LogScope::All } else { LogScope::Own });
        if admin && decided.is_err() && principal.scopes.contains(Scope::Audit) {
            decided = decide(LogScope::Own);
        }
        match decided {
            Ok(access) => {
                audit.allowed(access.policies());
                Ok(access)
            }
            Err(denial) => {
                audit.denied(&denial);
                let policies = match denial {
                    Denial::NotPermitted => Vec::new(),
                    Denial::Forbidden { policies } | Denial::Undecided { policies } => policies,
                };
                Err(Error::NotAllowed { policies })
            }
        }
    }

    /// The newest place in the log.
    async fn head(&self) -> Result<u64, Error> {
        let newest = self.ports.log.list(&EventFilter::default(), None, 1).await;
        let newest = newest.map_err(Error::RecordUnavailable)?;
        Ok(newest.first().map_or(0, |event| event.seq))
    }

    /// One look into the log, when it is this one's turn.
    async fn scan<F>(&self, look: F) -> Result<Vec<StoredEvent>, Error>
    where
        F: Future<Output = Result<Vec<StoredEvent>, crate::ports::Unavailable>> + Send,
    {
        let _permit = self.scans.acquire().await;
        look.await.map_err(Error::RecordUnavailable)
    }
}

/// What is left of a filter within what stands open; none where nothing can fit.
fn restrict(access: &AuditAccess, filter: EventFilter) -> Option<EventFilter> {
    match (access.tenant(), &filter.tenant) {
        (Some(own), Some(other)) if own != other => None,
        (Some(own), _) => Some(EventFilter { tenant: Some(own.clone()), ..filter }),
        (None, _) => Some(filter),
    }
}

/// How many of these fit into one answer.
fn matching(events: &[StoredEvent]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take_while(|event| {
        bytes += event.body.len();
        bytes <= MAX_BYTES
    });
    fits.count().max(1)
}

impl fmt::Debug for AuditQueries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditReads").finish_non_exhaustive()
    }
}

impl fmt::Debug for AuditPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditPorts")
    }
}
