//! The shape all our layers share: a step that gets a request and whatever comes after it.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

/// One step on the way of a request.
pub(super) trait Middleware: Clone + Send + Sync + 'static {
    /// Answers the request, by `next` or without it. `next` is ready.
    fn run<S: Next>(
        self,
        request: Request<Body>,
        next: S,
    ) -> impl Future<Output = Result<Response<Body>, S::Error>> + Send;
}

/// What comes after a step.
pub(super) trait Next:
    Service<Request<Body>, Response = Response<Body>, Future: Send, Error: Send> + Send + 'static
{
}

/// Puts a step before a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct MiddlewareLayer<T>(pub(super) T);

/// A service with a step before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct MiddlewareService<T, S> {
    middleware: T,
    inner: S,
}

impl<S> Next for S where
    S: Service<Request<Body>, Response = Response<Body>, Future: Send, Error: Send> + Send + 'static
{
}

// === impl StepLayer ===

impl<T: Clone, S> Layer<S> for MiddlewareLayer<T> {
    type Service = MiddlewareService<T, S>;

    fn layer(&self, inner: S) -> MiddlewareService<T, S> {
        MiddlewareService { middleware: self.0.clone(), inner }
    }
}

// === impl Stepped ===

impl<T: Middleware, S: Next + Clone> Service<Request<Body>> for MiddlewareService<T, S> {
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone has not been polled ready; the one that has must answer.
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        Box::pin(self.middleware.clone().run(request, ready))
    }
}
