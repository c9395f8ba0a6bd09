//! Implements the generated service traits: each method parses its request, runs the use case, and converts
//! the result.

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

/// Handles RPCs with the use cases.
#[derive(Clone, Debug)]
pub(super) struct GrpcHandler {
    broker: KeyBroker,
    audit: AuditQueries,
    /// Ends open streams when the server shuts down.
    stopping: CancellationToken,
}

/// The caller, the call and its snapshot, as the middleware layers determined them.
struct Caller {
    call: Arc<Call>,
    principal: Arc<Principal>,
    snapshot: Arc<dyn ConfigSnapshot>,
}

// === impl GrpcHandler ===

impl GrpcHandler {
    pub(super) fn new(broker: KeyBroker, audit: AuditQueries, stopping: CancellationToken) -> Self {
        Self { broker, audit, stopping }
    }

    /// Splits a request into its caller and its message. A request that passed no layer is a defect.
    fn begin<T>(request: Request<T>) -> Result<(Caller, T), Status> {
        let (_, extensions, message) = request.into_parts();
        let (Some(call), Some(principal), Some(snapshot)) = (
            extensions.get::<Arc<Call>>().cloned(),
            extensions.get::<Arc<Principal>>().cloned(),
            extensions.get::<Arc<dyn ConfigSnapshot>>().cloned(),
        ) else {
            return Err(status::missing_extension());
        };
        Ok((Caller { call, principal, snapshot }, message))
    }

    /// The use cases, with the snapshot that the call began with.
    fn broker(&self, caller: &Caller) -> KeyBroker {
        self.broker.pinned_to(&caller.snapshot)
    }

    /// The use cases that read the audit log, with the snapshot that the call began with.
    fn audit(&self, caller: &Caller) -> AuditQueries {
        self.audit.pinned_to(&caller.snapshot)
    }

    /// Returns the parsed request, or records the rejection and returns its status.
    fn parse_request<T>(&self, caller: &Caller, parsed: Result<T, InvalidField>) -> Result<T, Status> {
        let Caller { call, principal, .. } = caller;
        parsed.map_err(|invalid| match invalid {
            InvalidField::Fields(fields) => {
                // The audit log gets only the field names, because a value can be anything, even a secret.
                let error = service::Error::Invalid { field: "request", problem: fields.invalid_fields() };
                self.broker.record_rejected(call, principal, &error);
                status::from_refusal(call, &fields)
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
