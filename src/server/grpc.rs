//! The generated traits, each method in three calls: parse, act, answer.

mod audit;
mod key_association;
mod tenant;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use super::{convert::InvalidField, status};
use crate::{
    domain::{call::Call, principal::Principal},
    ports::ConfigSnapshot,
    service::{self, AuditQueries, KeyBroker},
};

/// Answers RPCs by the use cases.
#[derive(Clone, Debug)]
pub(super) struct GrpcHandler {
    broker: KeyBroker,
    audit: AuditQueries,
    /// Ends streams.
    stopping: CancellationToken,
}

/// Who calls, and in which circumstances: what the layers before have found out.
struct Caller {
    call: Arc<Call>,
    principal: Arc<Principal>,
    in_force: Arc<dyn ConfigSnapshot>,
}

// === impl Handler ===

impl GrpcHandler {
    pub(super) fn new(broker: KeyBroker, audit: AuditQueries, stopping: CancellationToken) -> Self {
        Self { broker, audit, stopping }
    }

    /// The request's own caller and message; a request that no layer has seen is a defect.
    fn begin<T>(request: Request<T>) -> Result<(Caller, T), Status> {
        let (_, extensions, message) = request.into_parts();
        let (Some(call), Some(principal), Some(in_force)) = (
            extensions.get::<Arc<Call>>().cloned(),
            extensions.get::<Arc<Principal>>().cloned(),
            extensions.get::<Arc<dyn ConfigSnapshot>>().cloned(),
        ) else {
            return Err(status::missing_extension());
        };
        Ok((Caller { call, principal, in_force }, message))
    }

    /// The use cases by what was in force when the call began.
    fn broker(&self, caller: &Caller) -> KeyBroker {
        self.broker.pinned_to(&caller.in_force)
    }

    /// The same for reading the audit log.
    fn audit(&self, caller: &Caller) -> AuditQueries {
        self.audit.pinned_to(&caller.in_force)
    }

    /// Takes what a request says, or records why it cannot be used.
    fn parse_request<T>(&self, caller: &Caller, parsed: Result<T, InvalidField>) -> Result<T, Status> {
        let Caller { call, principal, .. } = caller;
        parsed.map_err(|unusable| match unusable {
            InvalidField::Fields(fields) => {
                // Only the field names are recorded: a value could be anything.
                let error = service::Error::Invalid { field: "request", problem: fields.fields() };
                self.broker.record_rejected(call, principal, &error);
                status::fields(call, &fields)
            }
            InvalidField::Feature(error) => {
                self.broker.record_rejected(call, principal, &error);
                status::from_error(call, &error)
            }
        })
    }
}

// === impl Caller ===

impl Caller {
    fn status(&self) -> impl Fn(service::Error) -> Status {
        |error| status::from_error(&self.call, &error)
    }
}
