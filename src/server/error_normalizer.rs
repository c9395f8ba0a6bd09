//! Innermost: what tonic itself refuses (a body that is no message, one that is too long, an unknown
//! method) is recorded and answered in the form of every other refusal.

use std::sync::Arc;

use http::{Request, Response};
use tonic::body::Body;

use super::{
    authn,
    middleware::{Middleware, Next},
    status,
};
use crate::domain::{
    audit::{Completion, Event, Kind},
    call::Call,
    principal::Principal,
};

/// Records bodies that could not be read.
#[derive(Clone, Debug)]
pub(super) struct NormalizeErrors {
    pub(super) ports: authn::Ports,
}

// === impl Bodies ===

impl Middleware for NormalizeErrors {
    async fn run<S: Next>(self, request: Request<Body>, mut next: S) -> Result<Response<Body>, S::Error> {
        let call = request.extensions().get::<Arc<Call>>().cloned();
        let principal = request.extensions().get::<Arc<Principal>>().cloned();
        let path: Box<str> = request.uri().path().into();
        let response = next.call(request).await?;
        let Some(call) = call else { return Ok(response) };
        let (response, refusal) = status::normalize(response, &call, &path);
        if let Some(reason) = refusal {
            let mut event =
                Event::for_call(&call, principal.as_deref(), Kind::Refusal, self.ports.clock.now());
            event.end =
                Some(Completion { failure: Some(reason), aws_error: None, latency: call.received.elapsed() });
            self.ports.audit.record_best_effort(event);
        }
        Ok(response)
    }
}
