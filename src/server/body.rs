//! Innermost: what tonic itself refuses (a body that is no message, one that is too long, an unknown
//! method) is recorded and answered in the form of every other refusal.

use std::sync::Arc;

use http::{Request, Response};
use tonic::body::Body;

use super::{
    authn, status,
    step::{Next, Step},
};
use crate::domain::{
    audit::{End, Event, Kind},
    call::Call,
    principal::Principal,
};

/// Records bodies that could not be read.
#[derive(Clone, Debug)]
pub(super) struct Bodies {
    pub(super) ports: authn::Ports,
}

// === impl Bodies ===

impl Step for Bodies {
    async fn run<S: Next>(self, request: Request<Body>, mut next: S) -> Result<Response<Body>, S::Error> {
        let call = request.extensions().get::<Arc<Call>>().cloned();
        let who = request.extensions().get::<Arc<Principal>>().cloned();
        let path: Box<str> = request.uri().path().into();
        let response = next.call(request).await?;
        let Some(call) = call else { return Ok(response) };
        let (response, refusal) = status::in_our_form(response, &call, &path);
        if let Some(reason) = refusal {
            let mut event = Event::about(&call, who.as_deref(), Kind::Refusal, self.ports.clock.now());
            event.end =
                Some(End { failure: Some(reason), aws_error: None, latency: call.received.elapsed() });
            self.ports.audit.note(event);
        }
        Ok(response)
    }
}
