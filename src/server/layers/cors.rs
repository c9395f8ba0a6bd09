//! Lets pages of the configured origins call the service: cross-origin resource sharing
//! (<https://fetch.spec.whatwg.org/#http-cors-protocol>). It is the outermost layer, so that a page can read refusals
//! of every other layer too.

use std::time::Duration;

use http::{
    HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use tower::{
    layer::util::Identity,
    util::{Either, option_layer},
};
use tower_http::cors::CorsLayer;

/// How long a browser may cache the answer to a preflight request. Chromium caps it at two hours.
const MAX_AGE: Duration = Duration::from_hours(2);

/// The request headers that a page may set: those of gRPC-Web and Connect, and the service's own.
const REQUEST_HEADERS: [HeaderName; 12] = [
    AUTHORIZATION,
    CONTENT_TYPE,
    HeaderName::from_static("connect-accept-encoding"),
    HeaderName::from_static("connect-content-encoding"),
    HeaderName::from_static("connect-protocol-version"),
    HeaderName::from_static("connect-timeout-ms"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-on-behalf-of"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-user-agent"),
];

/// The response headers that a page may read.
const RESPONSE_HEADERS: [HeaderName; 8] = [
    HeaderName::from_static("connect-content-encoding"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
    HeaderName::from_static("x-request-id"),
];

/// The layer, or none if no origin is allowed.
pub(in crate::server) type OptionalCors = Either<CorsLayer, Identity>;

/// Allows calls from pages of exactly these origins.
pub(in crate::server) fn cors(allowed_origins: &[HeaderValue]) -> OptionalCors {
    option_layer((!allowed_origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(allowed_origins.to_vec())
            .allow_methods([Method::POST])
            .allow_headers(REQUEST_HEADERS)
            .expose_headers(RESPONSE_HEADERS)
            .max_age(MAX_AGE)
    }))
}
