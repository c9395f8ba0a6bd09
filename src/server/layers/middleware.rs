//! The shared form of the layers: a middleware gets a request and the rest of the stack.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

/// One layer of the stack.
pub(super) trait Middleware: Clone + Send + Sync + 'static {
    /// Responds to the request, with or without calling `next`. `next` is ready.
    fn run<S: Next>(
        self,
        request: Request<Body>,
        next: S,
    ) -> impl Future<Output = Result<Response<Body>, S::Error>> + Send;
}

/// The rest of the stack after a middleware.
pub(super) trait Next:
    Service<Request<Body>, Response = Response<Body>, Future: Send, Error: Send> + Send + 'static
{
}

/// Adds a middleware before a service.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct MiddlewareLayer<T>(pub(super) T);

/// A service with a middleware before it.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct MiddlewareService<T, S> {
    middleware: T,
    inner: S,
}

impl<S> Next for S where
    S: Service<Request<Body>, Response = Response<Body>, Future: Send, Error: Send> + Send + 'static
{
}

// === impl MiddlewareLayer ===

impl<T: Clone, S> Layer<S> for MiddlewareLayer<T> {
    type Service = MiddlewareService<T, S>;

    fn layer(&self, inner: S) -> MiddlewareService<T, S> {
        MiddlewareService { middleware: self.0.clone(), inner }
    }
}

// === impl MiddlewareService ===

impl<T: Middleware, S: Next + Clone> Service<Request<Body>> for MiddlewareService<T, S> {
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // Only the original service was polled ready, so it must handle the request, not the clone.
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        Box::pin(self.middleware.clone().run(request, ready))
    }
}
