//! What the methods of every service share: they read the caller, parse the request, run the use case, and
//! convert the result or the error.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use super::{caller::Caller, convert::InvalidField, status};
use crate::service::{self, AuditQueries, Context, CoverageQueries, Fleet, ServiceState};

/// Handles RPCs with the use cases.
#[derive(Clone, Debug)]
pub(in crate::server) struct GrpcHandler {
    pub(super) state: Arc<ServiceState>,
    pub(super) audit: AuditQueries,
    pub(super) fleet: Fleet,
    pub(super) coverage: CoverageQueries,
    /// Ends open streams when the server shuts down.
    pub(super) stopping: CancellationToken,
}

// === impl GrpcHandler ===

impl GrpcHandler {
    pub(in crate::server) fn new(
        state: Arc<ServiceState>,
        audit: AuditQueries,
        fleet: Fleet,
        coverage: CoverageQueries,
        stopping: CancellationToken,
    ) -> Self {
        Self { state, audit, fleet, coverage, stopping }
    }

    /// Splits a request into its caller and its message. A request that passed no layer is a defect.
    pub(super) fn begin<T>(request: Request<T>) -> Result<(Caller, T), Status> {
        let (_, extensions, message) = request.into_parts();
        let caller = Caller::of(&extensions).ok_or_else(status::missing_extension)?;
        Ok((caller, message))
    }

    /// The context of a use case, over the snapshot that was in effect when the call began.
    pub(super) fn context(&self, caller: &Caller) -> Context {
        let Caller { call, principal, snapshot, token } = caller;
        let (state, snapshot) = (Arc::clone(&self.state), Arc::clone(snapshot));
        Context::new(state, snapshot, Arc::clone(call), Arc::clone(principal)).with_token(token.clone())
    }

    /// Returns the parsed request, or records the rejection and returns its status.
    pub(super) fn parse_request<T>(
        &self,
        caller: &Caller,
        parsed: Result<T, InvalidField>,
    ) -> Result<T, Status> {
        let call = &caller.call;
        parsed.map_err(|invalid| match invalid {
            InvalidField::Fields(fields) => {
                // The audit log gets only the field names, because a value can be anything, even a secret.
                let error = service::Error::Request(service::RequestError::Invalid {
                    field: "request",
                    problem: fields.invalid_fields(),
                });
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
    pub(super) fn status(&self) -> impl Fn(service::Error) -> Status {
        |error| status::from_error(&self.call, &error)
    }
}
