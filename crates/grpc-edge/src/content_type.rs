//! Refuses requests whose content type no protocol of this port serves, as the specification of gRPC over HTTP/2
//! asks: "If Content-Type does not begin with application/grpc, gRPC servers SHOULD respond with HTTP status of 415".

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use futures_util::future::Either;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{ACCEPT, ALLOW, CONTENT_TYPE},
};
use tonic::body::Body;
use tower::{Layer, Service};

/// The content types that are served.
const SERVED: [(&str, Protocol); 10] = [
    ("application/grpc", Protocol::Grpc),
    ("application/grpc+proto", Protocol::Grpc),
    ("application/grpc-web", Protocol::GrpcWeb),
    ("application/grpc-web+proto", Protocol::GrpcWeb),
    ("application/grpc-web-text", Protocol::GrpcWeb),
    ("application/grpc-web-text+proto", Protocol::GrpcWeb),
    ("application/json", Protocol::Connect),
    ("application/proto", Protocol::Connect),
    ("application/connect+json", Protocol::Connect),
    ("application/connect+proto", Protocol::Connect),
];
/// The same content types as one value of the `Accept` header.
const ACCEPTED: &str = "application/grpc, application/grpc+proto, application/grpc-web, \
                        application/grpc-web+proto, application/grpc-web-text, application/grpc-web-text+proto, \
                        application/json, application/proto, application/connect+json, application/connect+proto";

/// Refuses requests that are neither gRPC, gRPC-Web nor Connect, with an HTTP status and a sentence.
#[derive(Clone, Copy, Debug)]
pub struct ContentTypeLayer;

/// The service behind a [`ContentTypeLayer`].
#[derive(Clone, Debug)]
pub struct ContentType<S> {
    inner: S,
}

/// A protocol of this port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Protocol {
    Grpc,
    GrpcWeb,
    Connect,
}

// === impl ContentTypeLayer ===

impl<S> Layer<S> for ContentTypeLayer {
    type Service = ContentType<S>;

    fn layer(&self, inner: S) -> ContentType<S> {
        ContentType { inner }
    }
}

// === impl ContentType ===

impl<S> Service<Request<Body>> for ContentType<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match check(&request) {
            Ok(content_type) => {
                // The later layers compare the text.
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
                Either::Left(self.inner.call(request))
            }
            Err(refusal) => Either::Right(ready(Ok(*refusal))),
        }
    }
}

/// The content type of a request that is served.
fn check(request: &Request<Body>) -> Result<&'static str, Box<Response<Body>>> {
    if request.method() != Method::POST {
        let mut response = refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "this port serves calls of gRPC, gRPC-Web and Connect; send them by POST\n",
        );
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Err(Box::new(response));
    }
    match served(request.headers()) {
        Some((_, Protocol::Grpc)) if request.version() < Version::HTTP_2 => Err(Box::new(refuse(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "gRPC needs HTTP/2; use HTTP/2, or gRPC-Web or Connect over HTTP/1.1\n",
        ))),
        Some((content_type, _)) => Ok(content_type),
        None => Err(Box::new(refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "this port serves gRPC, gRPC-Web and Connect; set the content-type to application/grpc, \
             application/grpc-web or application/json\n",
        ))),
    }
}

/// The content type of the request and its protocol. Case and parameters are ignored.
fn served(headers: &HeaderMap) -> Option<(&'static str, Protocol)> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let essence = value.to_str().ok()?.split(';').next()?.trim();
    SERVED.into_iter().find(|(content_type, _)| essence.eq_ignore_ascii_case(content_type))
}

fn refuse(status: StatusCode, sentence: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(sentence.to_owned()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol_of(values: &[&'static str]) -> Option<Protocol> {
        let values = values.iter().map(|value| (CONTENT_TYPE, HeaderValue::from_static(value)));
        served(&values.collect()).map(|(_, protocol)| protocol)
    }

    #[test]
    fn the_accept_header_lists_what_is_served() {
        assert_eq!(ACCEPTED, SERVED.map(|(content_type, _)| content_type).join(", "));
    }

    #[test]
    fn grpc_and_grpc_web_with_protobuf_are_served() {
        for value in ["application/grpc", "application/grpc+proto", "Application/GRPC; charset=utf-8"] {
            assert_eq!(protocol_of(&[value]), Some(Protocol::Grpc), "{value}");
        }
        for value in [
            "application/grpc-web; charset=utf-8",
            "application/grpc-web+proto",
            "application/grpc-web-text+proto",
        ] {
            assert_eq!(protocol_of(&[value]), Some(Protocol::GrpcWeb), "{value}");
        }
    }

    #[test]
    fn connect_is_served_with_json_and_protobuf() {
        for value in crate::connect::protocol::CONTENT_TYPES {
            assert_eq!(protocol_of(&[value]), Some(Protocol::Connect), "{value}");
        }
        assert_eq!(protocol_of(&["Application/JSON; charset=utf-8"]), Some(Protocol::Connect));
    }

    #[test]
    fn every_other_content_type_is_refused() {
        for value in [
            "application/connect",
            "application/json+x",
            "application/grpc+json",
            "application/grpc-web+json",
            "application/grpc-webs",
            "application/grpcx",
            "application/x-protobuf",
            "text/plain",
            "",
        ] {
            assert_eq!(protocol_of(&[value]), None, "{value}");
        }
        assert_eq!(protocol_of(&[]), None, "no content type");
        assert_eq!(protocol_of(&["application/grpc", "application/json"]), None, "two content types");
    }
}
