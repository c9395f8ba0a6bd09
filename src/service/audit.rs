//! Reading the audit log: a tenant its own events, an operator all. Asked by `server::grpc::audit`;
//! each reading is itself recorded.

mod error;
mod list;
mod proofs;
mod streams;
mod watch;

use std::{fmt, sync::Arc};

use tokio::sync::Semaphore;

use self::streams::Streams;
pub use self::{
    error::ReadError,
    list::EventPage,
    proofs::{AuditHead, ConsistencyProof, InclusionProof},
    streams::StreamLimits,
    watch::{EventBatch, Watched},
};
use super::{Error, KeyBroker, require, trail::Trail};
use crate::{
    domain::{
        authorization::{AuditAccess, Denial, Whose},
        call::Call,
        principal::{Principal, Scope},
    },
    ports::{AuditTree, EventFilter, EventReader, InForce, StoredEvent},
};

/// How many looks into the log run at once, so that calls find the store free.
const AT_ONCE: usize = 2;
/// How far one look reaches, in places of the log.
const REACH: u64 = 16_384;
/// How much of events one answer holds, in bytes, unless one alone is longer.
const MOST_BYTES: usize = 1024 * 1024;

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
pub struct AuditReads {
    broker: KeyBroker,
    ports: AuditPorts,
    streams: Arc<Streams>,
    looks: Arc<Semaphore>,
}

// === impl AuditReads ===

impl AuditReads {
    /// Over the broker's ports and these.
    #[must_use]
    pub fn new(broker: KeyBroker, ports: AuditPorts, limits: StreamLimits) -> Self {
        let (streams, looks) = (Arc::new(Streams::new(limits)), Arc::new(Semaphore::new(AT_ONCE)));
        Self { broker, ports, streams, looks }
    }

    /// The same, keeping to this as [`KeyBroker::under`] does.
    #[must_use]
    pub fn under(&self, in_force: &Arc<dyn InForce>) -> Self {
        Self { broker: self.broker.under(in_force), ..self.clone() }
    }

    /// Whose events the caller may do this with.
    fn access(&self, call: &Call, who: &Principal, trail: &mut Trail) -> Result<AuditAccess, Error> {
        let admin = who.scopes.contains(Scope::Admin);
        if !admin {
            require(who, Scope::Audit)?;
        }
        let broker = self.broker.under(&self.broker.in_force());
        let tenant = broker.tenant(who)?;
        let decide =
            |whose| AuditAccess::decide(|question| broker.decide(question), call, who, &tenant, whose);
        let mut decided = decide(if admin { Whose::All } else { Whose::Own });
        if admin && decided.is_err() && who.scopes.contains(Scope::Audit) {
            decided = decide(Whose::Own);
        }
        match decided {
            Ok(access) => {
                trail.allowed(access.policies());
                Ok(access)
            }
            Err(denial) => {
                trail.denied(&denial);
                let policies = match denial {
                    Denial::NotPermitted => Vec::new(),
                    Denial::Forbidden { policies } | Denial::Undecided { policies } => policies,
                };
                Err(Error::NotAllowed { policies })
            }
        }
    }

    /// The newest place in the log.
    async fn end(&self) -> Result<u64, Error> {
        let newest = self.ports.log.list(&EventFilter::default(), None, 1).await;
        let newest = newest.map_err(Error::RecordUnavailable)?;
        Ok(newest.first().map_or(0, |event| event.seq))
    }

    /// One look into the log, when it is this one's turn.
    async fn look<F>(&self, look: F) -> Result<Vec<StoredEvent>, Error>
    where
        F: Future<Output = Result<Vec<StoredEvent>, crate::ports::Unavailable>> + Send,
    {
        let _turn = self.looks.acquire().await;
        look.await.map_err(Error::RecordUnavailable)
    }
}

/// What is left of a filter within what stands open; none where nothing can fit.
fn within(access: &AuditAccess, asked: EventFilter) -> Option<EventFilter> {
    match (access.tenant(), &asked.tenant) {
        (Some(own), Some(other)) if own != other => None,
        (Some(own), _) => Some(EventFilter { tenant: Some(own.clone()), ..asked }),
        (None, _) => Some(asked),
    }
}

/// How many of these fit into one answer.
fn fitting(events: &[StoredEvent]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take_while(|event| {
        bytes += event.body.len();
        bytes <= MOST_BYTES
    });
    fits.count().max(1)
}

impl fmt::Debug for AuditReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditReads").finish_non_exhaustive()
    }
}

impl fmt::Debug for AuditPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditPorts")
    }
}
