//! The response of a unary call: the body is the message, or the error in JSON.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    response::Parts,
};
use http_body_util::Full;
use tonic::{Status, body::Body};

use super::{
    conversion::{MIN_COMPRESSED, ResponseConversion, error_response},
    grpc_messages::{GrpcMessages, Part, remove_grpc, take_status},
};
use crate::connect::{compression, error::http_status};

/// The prefix of trailers, which a unary response sends as headers.
const TRAILER: &str = "trailer-";

/// Converts the response.
pub(in crate::connect) async fn unary(
    conversion: &ResponseConversion,
    response: Response<Body>,
) -> Response<Body> {
    let (Parts { mut headers, .. }, body) = response.into_parts();
    if headers.contains_key(Status::GRPC_STATUS) {
        let status =
            take_status(&mut headers).unwrap_or_else(|| Status::internal("the response has no message"));
        return error_response(&conversion.pool, http_status(status.code()), headers, &status);
    }
    remove_grpc(&mut headers);
    match message(conversion, body, &mut headers).await {
        Ok(message) => answer(conversion, headers, message),
        Err(status) => error_response(&conversion.pool, http_status(status.code()), headers, &status),
    }
}

/// The message of the response. Adds the trailers to the headers.
async fn message(
    conversion: &ResponseConversion,
    body: Body,
    headers: &mut HeaderMap,
) -> Result<Bytes, Status> {
    let mut messages = GrpcMessages::new(body, conversion.deadline);
    let mut message = None;
    loop {
        match messages.next().await? {
            Part::Message(next) => message = Some(next),
            Part::Trailers(mut trailers) => {
                let status = take_status(&mut trailers);
                add_trailers(headers, &trailers);
                if let Some(status) = status {
                    return Err(status);
                }
                let message = message.ok_or_else(|| Status::internal("the response has no message"))?;
                return conversion.convert(message);
            }
        }
    }
}

fn add_trailers(headers: &mut HeaderMap, trailers: &HeaderMap) {
    for (name, value) in trailers {
        if let Ok(name) = HeaderName::try_from(format!("{TRAILER}{name}")) {
            headers.append(name, value.clone());
        }
    }
}

fn answer(conversion: &ResponseConversion, mut headers: HeaderMap, message: Bytes) -> Response<Body> {
    let is_compressed = conversion.protocol.accepts_gzip && message.len() >= MIN_COMPRESSED;
    let body = match compression::gzip(&message).filter(|_| is_compressed) {
        Some(compressed) => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            compressed
        }
        None => message,
    };
    headers.insert(CONTENT_TYPE, conversion.protocol.content_type());
    let mut response = Response::new(Body::new(Full::new(body)));
    *response.headers_mut() = headers;
    response
}
