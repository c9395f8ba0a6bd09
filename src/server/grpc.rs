//! The generated traits, each method in three calls: parse, act, answer.

mod audit;
mod key_association;
mod tenant;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use super::{convert::Unusable, status};
use crate::{
    domain::{call::Call, principal::Principal},
    ports::InForce,
    service::{self, AuditReads, KeyBroker},
};

/// Answers RPCs by the use cases.
#[derive(Clone, Debug)]
pub(super) struct Handler {
    broker: KeyBroker,
    audit: AuditReads,
    /// Ends streams.
    stopping: CancellationToken,
}

/// Who calls, and in which circumstances: what the layers before have found out.
struct Caller {
    call: Arc<Call>,
    who: Arc<Principal>,
    in_force: Arc<dyn InForce>,
}

// === impl Handler ===

impl Handler {
    pub(super) fn new(broker: KeyBroker, audit: AuditReads, stopping: CancellationToken) -> Self {
        Self { broker, audit, stopping }
    }

    /// The request's own caller and message; a request that no layer has seen is a defect.
    fn open<T>(request: Request<T>) -> Result<(Caller, T), Status> {
        let (_, extensions, message) = request.into_parts();
        let (Some(call), Some(who), Some(in_force)) = (
            extensions.get::<Arc<Call>>().cloned(),
            extensions.get::<Arc<Principal>>().cloned(),
            extensions.get::<Arc<dyn InForce>>().cloned(),
        ) else {
            return Err(status::misassembled());
        };
        Ok((Caller { call, who, in_force }, message))
    }

    /// The use cases by what was in force when the call began.
    fn broker(&self, caller: &Caller) -> KeyBroker {
        self.broker.under(&caller.in_force)
    }

    /// The same for reading the audit log.
    fn audit(&self, caller: &Caller) -> AuditReads {
        self.audit.under(&caller.in_force)
    }

    /// Takes what a request says, or records why it cannot be used.
    fn parsed<T>(&self, caller: &Caller, parsed: Result<T, Unusable>) -> Result<T, Status> {
        let Caller { call, who, .. } = caller;
        parsed.map_err(|unusable| match unusable {
            Unusable::Fields(refused) => {
                // Only the field names are recorded: a value could be anything.
                let error = service::Error::Invalid { field: "request", problem: refused.fields() };
                self.broker.refused_at_the_edge(call, who, &error);
                status::refused(call, &refused)
            }
            Unusable::Feature(error) => {
                self.broker.refused_at_the_edge(call, who, &error);
                status::of(call, &error)
            }
        })
    }
}

// === impl Caller ===

impl Caller {
    fn status(&self) -> impl Fn(service::Error) -> Status {
        |error| status::of(&self.call, &error)
    }
}
