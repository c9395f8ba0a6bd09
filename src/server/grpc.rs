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
    service::{self, AuditQueries, Context, ServiceState},
};

/// Handles RPCs with the use cases.
#[derive(Clone, Debug)]
pub(super) struct GrpcHandler {
    state: Arc<ServiceState>,
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
    pub(super) fn new(state: Arc<ServiceState>, audit: AuditQueries, stopping: CancellationToken) -> Self {
        Self { state, audit, stopping }
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

    /// The context of a use case, over the snapshot that was in effect when the call began.
    fn context(&self, caller: &Caller) -> Context {
        let Caller { call, principal, snapshot } = caller;
        Context::new(Arc::clone(&self.state), Arc::clone(snapshot), Arc::clone(call), Arc::clone(principal))
    }

    /// Returns the parsed request, or records the rejection and returns its status.
    fn parse_request<T>(&self, caller: &Caller, parsed: Result<T, InvalidField>) -> Result<T, Status> {
        let call = &caller.call;
        parsed.map_err(|invalid| match invalid {
            InvalidField::Fields(fields) => {
                // The audit log gets only the field names, because a value can be anything, even a secret.
                let error = service::Error::Invalid { field: "request", problem: fields.invalid_fields() };
                self.context(caller).record_refusal(&error);
                status::from_refusal(call, &fields)
            }
            InvalidField::Feature(error) => {
                self.context(caller).record_refusal(&error);
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
