//! The response of a stream: the status is always 200, and the last envelope has the error and the trailers.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE, response::Parts};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use serde_json::{Map, Value, json};
use tonic::{Status, body::Body};

use super::{
    conversion::{MIN_COMPRESSED, ResponseConversion},
    grpc_messages::{GrpcMessages, Part, remove_grpc, take_status},
};
use crate::{
    connect::{compression, error},
    frame::{self, COMPRESSED, END_OF_STREAM},
};

/// The compression of the envelopes.
const CONTENT_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");

/// Converts the response.
pub(in crate::connect) fn stream(
    conversion: &ResponseConversion,
    response: Response<Body>,
) -> Response<Body> {
    let (Parts { mut headers, .. }, body) = response.into_parts();
    if headers.contains_key(Status::GRPC_STATUS) {
        let status = take_status(&mut headers);
        // All metadata of such a response is in its headers.
        return ended(conversion, headers, status.as_ref());
    }
    remove_grpc(&mut headers);
    let mut converted = Response::new(Body::new(StreamBody::new(envelopes(conversion.clone(), body))));
    *converted.headers_mut() = with_types(conversion, headers);
    converted
}

/// A response that ends without a message.
pub(in crate::connect) fn ended(
    conversion: &ResponseConversion,
    headers: HeaderMap,
    status: Option<&Status>,
) -> Response<Body> {
    let end = conversion.end(status, &HeaderMap::new());
    let mut response = Response::new(Body::new(Full::new(end)));
    *response.headers_mut() = with_types(conversion, headers);
    response
}

fn with_types(conversion: &ResponseConversion, mut headers: HeaderMap) -> HeaderMap {
    headers.insert(CONTENT_TYPE, conversion.protocol.content_type());
    if conversion.protocol.accepts_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers
}

fn envelopes(
    conversion: ResponseConversion,
    body: Body,
) -> impl stream::Stream<Item = Result<Frame<Bytes>, Status>> {
    let messages = GrpcMessages::new(body, conversion.deadline);
    let envelopes = stream::unfold(Some((conversion, messages)), |state| async move {
        let (conversion, mut messages) = state?;
        let next = messages.next().await.and_then(|part| match part {
            Part::Message(message) => Ok(Part::Message(conversion.convert(message)?)),
            trailers @ Part::Trailers(_) => Ok(trailers),
        });
        let (envelope, state) = match next {
            Ok(Part::Message(message)) => (conversion.envelope(&message), Some((conversion, messages))),
            Ok(Part::Trailers(mut trailers)) => {
                let status = take_status(&mut trailers);
                (conversion.end(status.as_ref(), &trailers), None)
            }
            Err(status) => (conversion.end(Some(&status), &HeaderMap::new()), None),
        };
        Some((Ok(Frame::data(envelope)), state))
    });
    // A body may be polled after its end.
    envelopes.fuse()
}

// === impl ResponseConversion ===

impl ResponseConversion {
    fn envelope(&self, message: &[u8]) -> Bytes {
        let is_compressed = self.protocol.accepts_gzip && message.len() >= MIN_COMPRESSED;
        match compression::gzip(message).filter(|_| is_compressed) {
            Some(compressed) => frame::put(COMPRESSED, &compressed),
            None => frame::put(0, message),
        }
    }

    /// The last envelope.
    fn end(&self, status: Option<&Status>, trailers: &HeaderMap) -> Bytes {
        let mut end = Map::new();
        if let Some(status) = status {
            end.insert("error".to_owned(), error::to_json(&self.pool, status));
        }
        if !trailers.is_empty() {
            end.insert("metadata".to_owned(), metadata(trailers));
        }
        frame::put(END_OF_STREAM, Value::Object(end).to_string().as_bytes())
    }
}

/// The trailers by name, each with its values.
fn metadata(trailers: &HeaderMap) -> Value {
    let values = |name: &HeaderName| -> Value {
        trailers.get_all(name).iter().map(|value| json!(String::from_utf8_lossy(value.as_bytes()))).collect()
    };
    Value::Object(trailers.keys().map(|name| (name.as_str().to_owned(), values(name))).collect())
}
