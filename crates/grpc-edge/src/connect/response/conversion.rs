//! What the conversion of a response needs to know, and the response of an error.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use tokio::time::Instant;
use tonic::{Status, body::Body};

use crate::connect::{error, message, protocol::Protocol};

/// The shortest message that is compressed, in bytes.
pub(super) const MIN_COMPRESSED: usize = 1024;

/// How to convert a response.
#[derive(Clone, Debug)]
pub(in crate::connect) struct ResponseConversion {
    pub(in crate::connect) protocol: Protocol,
    pub(in crate::connect) of: MessageDescriptor,
    pub(in crate::connect) pool: DescriptorPool,
    pub(in crate::connect) deadline: Option<Instant>,
}

// === impl ResponseConversion ===

impl ResponseConversion {
    pub(super) fn convert(&self, message: Bytes) -> Result<Bytes, Status> {
        message::from_proto(self.protocol.codec, &self.of, message)
    }
}

/// A response whose body is the error in JSON.
pub(in crate::connect) fn error_response(
    pool: &DescriptorPool,
    http: StatusCode,
    mut headers: HeaderMap,
    status: &Status,
) -> Response<Body> {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut response = Response::new(Body::new(Full::from(error::to_json(pool, status).to_string())));
    *response.status_mut() = http;
    *response.headers_mut() = headers;
    response
}
