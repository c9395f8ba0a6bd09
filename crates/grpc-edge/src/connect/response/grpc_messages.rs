//! Reads the messages and the status of a gRPC response.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};
use tonic::{Status, body::Body};

use crate::frame;

/// The messages of a gRPC response.
pub(super) struct GrpcMessages {
    body: Body,
    buffer: BytesMut,
    deadline: Option<Instant>,
}

/// The next part of a gRPC response.
pub(super) enum Part {
    Message(Bytes),
    /// The trailers, or the headers of a response without a body.
    Trailers(HeaderMap),
}

// === impl GrpcMessages ===

impl GrpcMessages {
    pub(super) fn new(body: Body, deadline: Option<Instant>) -> Self {
        Self { body, buffer: BytesMut::new(), deadline }
    }

    pub(super) async fn next(&mut self) -> Result<Part, Status> {
        loop {
            if let Ok(Some(envelope)) = frame::take(&mut self.buffer, usize::MAX - frame::PREFIX) {
                return Ok(Part::Message(envelope.message));
            }
            let frame = within(self.deadline, self.body.frame()).await?;
            let frame = frame.ok_or_else(|| Status::internal("the response ended without a status"))??;
            match frame.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(frame) => return Ok(Part::Trailers(frame.into_trailers().unwrap_or_default())),
            }
        }
    }
}

/// What the future resolves to, or the error of a passed deadline.
pub(in crate::connect) async fn within<T>(
    deadline: Option<Instant>,
    future: impl Future<Output = T>,
) -> Result<T, Status> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.map_err(|_elapsed| {
            Status::deadline_exceeded("the timeout of the call passed before the response was complete")
        }),
        None => Ok(future.await),
    }
}

/// The status in trailers or headers; none if the call succeeded. The headers of gRPC are removed.
pub(super) fn take_status(headers: &mut HeaderMap) -> Option<Status> {
    let status = Status::from_header_map(headers)
        .unwrap_or_else(|| Status::internal("the response ended without a status"));
    remove_grpc(headers);
    (status.code() != tonic::Code::Ok).then_some(status)
}

pub(super) fn remove_grpc(headers: &mut HeaderMap) {
    for name in [
        "grpc-status",
        "grpc-message",
        "grpc-status-details-bin",
        "grpc-encoding",
        "grpc-accept-encoding",
        "content-type",
        "content-length",
    ] {
        headers.remove(name);
    }
}
