//! Builds the status of each failure.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{
    code::code,
    details::StatusDetails,
    documentation,
    edge_messages::{refusal_details, tenant_refusal_details},
    edge_refusal::EdgeRefusal,
    messages::status_details,
};
use crate::{
    domain::{call::Call, reason::Reason, tenant::TenantId},
    service,
};

/// The `ErrorInfo.domain` of every error.
pub const DOMAIN: &str = "keyassociation.v1";

/// The status of a rejection by a layer.
pub(in crate::server) fn from_refusal(call: &Call, refusal: &EdgeRefusal) -> Status {
    status(call, refusal.reason(), refusal_details(refusal))
}

/// The status of a rejection by a layer after authentication; it names the tenant.
pub(in crate::server) fn from_tenant_refusal(
    call: &Call,
    refusal: &EdgeRefusal,
    tenant: &TenantId,
) -> Status {
    status(call, refusal.reason(), tenant_refusal_details(refusal, tenant))
}

/// The status of a use case that failed.
pub(in crate::server) fn from_error(call: &Call, error: &service::Error) -> Status {
    if error.reason() == Reason::Internal {
        tracing::error!(error = error as &dyn std::error::Error, "a call failed with an internal error");
        return internal(call);
    }
    status(call, error.reason(), status_details(error))
}

/// A defect of this service: the message has the request id and no other details.
pub(in crate::server) fn internal(call: &Call) -> Status {
    let message = format!("internal error; request id {}", call.request_id);
    status(call, Reason::Internal, StatusDetails::new(message))
}

/// A layer is missing or out of order: a defect of this service, not of the request.
pub(in crate::server) fn missing_extension() -> Status {
    Status::new(Code::Internal, "internal error")
}

/// The status of a failure with this reason.
pub(super) fn status(call: &Call, reason: Reason, details: StatusDetails) -> Status {
    call.summary.set_reason(reason);
    let StatusDetails { message, mut details, mut metadata } = details;
    if let Some(trace) = call.summary.trace() {
        metadata.insert("trace_id".to_owned(), trace.to_string());
    }
    details.set_error_info(reason.as_str(), DOMAIN, metadata);
    details.set_request_info(call.request_id.as_str(), "");
    details.add_help_link(format!("what {reason} means and what to do"), documentation::link(reason));
    Status::with_error_details(code(reason), message, details)
}
