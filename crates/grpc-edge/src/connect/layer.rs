//! The layer: passes gRPC requests on unchanged, and converts requests of Connect and their responses.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::Either;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE},
};
use http_body_util::Full;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tokio::time::Instant;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{
    compression::{ACCEPTED, Encoding},
    error::http_status,
    protocol::{self, Form, Protocol},
    request,
    response::{self, ResponseConversion, within},
    schema::Schema,
};

/// Serves the Connect protocol by the methods of the gRPC server behind it. A message is never read before the server
/// asks for it.
#[derive(Clone, Debug)]
pub struct ConnectLayer {
    schema: Schema,
    max_message: usize,
}

/// The service behind a [`ConnectLayer`].
#[derive(Clone, Debug)]
pub struct Connect<S> {
    inner: S,
    layer: ConnectLayer,
}

type Converted<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

// === impl ConnectLayer ===

impl ConnectLayer {
    /// Serves the methods of these descriptors. `max_message` bounds a request message in bytes, before and after
    /// decompression. The types in the details of errors should be in the pool too.
    #[must_use]
    pub fn new(pool: DescriptorPool, max_message: usize) -> Self {
        Self { schema: Schema::new(pool), max_message }
    }

    async fn exchange<S>(
        self,
        mut inner: S,
        request: Request<Body>,
        protocol: Protocol,
    ) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        if request.method() != Method::POST {
            return Ok(method_not_allowed());
        }
        let method = self.schema.method(request.uri().path()).cloned();
        let form = if method.as_ref().is_some_and(is_streaming) { Form::Stream } else { Form::Unary };
        if method.is_some() && form != protocol.form {
            return Ok(wrong_form(form));
        }
        let deadline = protocol.timeout.map(|timeout| Instant::now() + timeout);
        let (mut parts, body) = request.into_parts();
        parts.version = Version::HTTP_2;
        protocol::to_grpc(&mut parts.headers);
        let Some(method) = method else {
            let response = inner.call(Request::from_parts(parts, Body::empty())).await?;
            return Ok(self.unknown_method(response));
        };
        let body = request::body(&protocol, method.input(), self.max_message, body);
        let is_unsupported = matches!(protocol.request_encoding, Encoding::Unknown(_));
        let conversion =
            ResponseConversion { protocol, of: method.output(), pool: self.schema.pool.clone(), deadline };
        let request = Request::from_parts(parts, body);
        let mut response = match within(deadline, inner.call(request)).await {
            Ok(response) => convert(conversion, response?).await,
            Err(late) => conversion.failed(&late),
        };
        if is_unsupported {
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
        }
        Ok(response)
    }

    /// The answer to a path that no service has: 404, which clients of Connect read as `unimplemented`.
    fn unknown_method(&self, response: Response<Body>) -> Response<Body> {
        match Status::from_header_map(response.headers()) {
            Some(status) if status.code() == tonic::Code::Unimplemented => {
                response::error_response(&self.schema.pool, StatusCode::NOT_FOUND, extra(&status), &status)
            }
            Some(status) => response::error_response(
                &self.schema.pool,
                http_status(status.code()),
                extra(&status),
                &status,
            ),
            None => response,
        }
    }
}

impl<S> Layer<S> for ConnectLayer {
    type Service = Connect<S>;

    fn layer(&self, inner: S) -> Connect<S> {
        Connect { inner, layer: self.clone() }
    }
}

// === impl Connect ===

impl<S> Service<Request<Body>> for Connect<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error: Send, Future: Send> + Clone + Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Converted<S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(protocol) = Protocol::of(request.headers()) else {
            return Either::Left(self.inner.call(request));
        };
        // Only the original service was polled ready, so it must handle the request, not the clone.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        Either::Right(Box::pin(self.layer.clone().exchange(ready, request, protocol)))
    }
}

// === impl ResponseConversion ===

impl ResponseConversion {
    /// The response of a call that ended before the server answered.
    fn failed(&self, status: &Status) -> Response<Body> {
        match self.protocol.form {
            Form::Unary => {
                response::error_response(&self.pool, http_status(status.code()), HeaderMap::new(), status)
            }
            Form::Stream => response::ended(self, HeaderMap::new(), Some(status)),
        }
    }
}

async fn convert(conversion: ResponseConversion, response: Response<Body>) -> Response<Body> {
    // Any other status comes from a layer that answers in HTTP's own terms.
    if response.status() != StatusCode::OK {
        return response;
    }
    match conversion.protocol.form {
        Form::Unary => response::unary(&conversion, response).await,
        Form::Stream => response::stream(&conversion, response),
    }
}

fn is_streaming(method: &MethodDescriptor) -> bool {
    method.is_client_streaming() || method.is_server_streaming()
}

/// The metadata of a status.
fn extra(status: &Status) -> HeaderMap {
    let mut headers = status.metadata().clone().into_headers();
    headers.remove(CONTENT_TYPE);
    headers
}

fn method_not_allowed() -> Response<Body> {
    let mut response = sentence(StatusCode::METHOD_NOT_ALLOWED, "this port serves calls by POST only\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

fn wrong_form(form: Form) -> Response<Body> {
    let text = match form {
        Form::Unary => {
            "this method does not stream: set the content-type to application/json or application/proto\n"
        }
        Form::Stream => {
            "this method streams: set the content-type to application/connect+json or application/connect+proto\n"
        }
    };
    sentence(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
}

fn sentence(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
