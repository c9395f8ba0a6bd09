//! Rewords the rejections by tonic itself.

use http::Response;
use prost::bytes::Bytes;
use tonic::{Code, Status, body::Body, metadata::MetadataMap};

use super::{answer::status, code::code_in, details::StatusDetails};
use crate::domain::{call::Call, reason::Reason};

/// Gives a rejection by tonic itself the same form as every other one. Returns its reason if there is one.
pub(in crate::server) fn normalize(
    response: Response<Body>,
    call: &Call,
    path: &str,
) -> (Response<Body>, Option<Reason>) {
    let ours = response.headers().contains_key(Status::GRPC_STATUS_DETAILS);
    if ours || code_in(response.headers()) == Code::Ok || path.starts_with("/grpc.") {
        return (response, None);
    }
    let Some(theirs) = Status::from_header_map(response.headers()) else { return (response, None) };
    let (reason, message) = match theirs.code() {
        Code::Unimplemented if theirs.message().is_empty() => (
            Reason::MethodUnknown,
            format!("method {path} does not exist: list the methods with server reflection"),
        ),
        // tonic uses these codes for a body that is truncated, too long, or not a message of this type.
        Code::Internal
        | Code::OutOfRange
        | Code::InvalidArgument
        | Code::ResourceExhausted
        | Code::Unimplemented => {
            (Reason::FieldInvalid, format!("the request cannot be decoded: {}", theirs.message()))
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => return (response, None),
    };
    let mut ours = status(call, reason, StatusDetails::new(message));
    if is_unsupported_compression(&theirs) {
        let mut headers = theirs.metadata().clone().into_headers();
        headers.extend(ours.metadata().clone().into_headers());
        let details = Bytes::copy_from_slice(ours.details());
        ours = Status::with_details_and_metadata(
            theirs.code(),
            ours.message(),
            details,
            MetadataMap::from_headers(headers),
        );
    }
    (ours.into_http(), Some(reason))
}

/// Whether tonic could not decompress the request. Its code then stays: the specification of compression requires
/// UNIMPLEMENTED with `grpc-accept-encoding` for an unknown encoding, and INTERNAL for a compressed message
/// without an encoding.
fn is_unsupported_compression(status: &Status) -> bool {
    let is_unknown_encoding = status.code() == Code::Unimplemented && !status.message().is_empty();
    is_unknown_encoding || status.code() == Code::Internal && status.message().contains("compressed-flag")
}
