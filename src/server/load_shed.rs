//! Outermost of the guard: a bound on the calls under way in the whole process. What is over it is
//! refused before anything is computed for it, and so is a call whose time is over when it comes; health,
//! reflection and the admin port are not counted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, Response};
use metrics::counter;
use tokio::sync::Semaphore;
use tonic::body::Body;

use super::{
    authn,
    middleware::{Middleware, Next},
    status::{self, EdgeRefusal},
};
use crate::{
    domain::{
        audit::{Completion, Event, Kind},
        call::Call,
        reason::Reason,
    },
    service,
};

/// Callers that are shed are sent away for this long, and at random for up to as long again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Refuses calls beyond what the process can hold.
#[derive(Clone, Debug)]
pub(super) struct LoadShed {
    locations: Arc<Semaphore>,
    ports: authn::Ports,
}

// === impl Load ===

impl LoadShed {
    pub(super) fn new(max_in_flight: usize, ports: authn::Ports) -> Self {
        Self { locations: Arc::new(Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS))), ports }
    }

    /// Records a refusal of somebody whom nobody has looked at: many of them are counted.
    fn audit_rejection(&self, call: &Call, reason: Reason) {
        let mut event = Event::for_call(call, None, Kind::Refusal, self.ports.clock.now());
        event.end =
            Some(Completion { failure: Some(reason), aws_error: None, latency: call.received.elapsed() });
        self.ports.audit.record_best_effort(event);
    }
}

impl Middleware for LoadShed {
    async fn run<S: Next>(self, request: Request<Body>, mut next: S) -> Result<Response<Body>, S::Error> {
        let Some(call) = request.extensions().get::<Arc<Call>>() else {
            return Ok(status::missing_extension().into_http());
        };
        // At once, before the transport's own timer says less about it.
        if Instant::now() >= call.deadline {
            let error = service::Error::DeadlineBeforeAws;
            self.audit_rejection(call, error.reason());
            return Ok(status::from_error(call, &error).into_http());
        }
        let Ok(_permit) = self.locations.try_acquire() else {
            counter!("logkey_limit_refused_total", "cause" => "overloaded").increment(1);
            let refusal =
                EdgeRefusal::Overloaded { retry_after: RETRY_AFTER + RETRY_AFTER.mul_f64(rand::random()) };
            self.audit_rejection(call, refusal.reason());
            return Ok(status::fields(call, &refusal).into_http());
        };
        next.call(request).await
    }
}
