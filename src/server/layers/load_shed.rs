//! The outermost layer of the guarded stack: limits the calls in flight of the whole process. It rejects
//! calls above the limit, and calls whose deadline is malformed or has passed, before any other work. Health, reflection and
//! the admin port are outside the stack, so they are not limited.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, Response};
use metrics::counter;
use tokio::sync::Semaphore;
use tonic::body::Body;

use super::{
    client_timeout::{self, Malformed, client_timeout},
    middleware::{Middleware, Next},
    rejection::RejectionLog,
};
use crate::{
    domain::call::Call,
    server::grpc::status::{self, EdgeRefusal},
    service,
};

/// The retry delay of shed callers; each one gets a random addition of up to the same time.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Sheds calls above the limit of calls in flight.
#[derive(Clone, Debug)]
pub(in crate::server) struct LoadShed {
    permits: Arc<Semaphore>,
    rejections: RejectionLog,
}

// === impl LoadShed ===

impl LoadShed {
    pub(super) fn new(max_in_flight: usize, rejections: RejectionLog) -> Self {
        Self { permits: Arc::new(Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS))), rejections }
    }
}

impl Middleware for LoadShed {
    async fn run<S: Next>(self, request: Request<Body>, mut next: S) -> Result<Response<Body>, S::Error> {
        let Some(call) = request.extensions().get::<Arc<Call>>() else {
            return Ok(status::missing_extension().into_http());
        };
        if let Err(Malformed) = client_timeout(request.headers()) {
            let violations = vec![(client_timeout::NAME.to_owned(), Malformed::PROBLEM.to_owned())];
            let refusal = EdgeRefusal::Body { violations };
            self.rejections.record(call, None, refusal.reason());
            return Ok(status::from_refusal(call, &refusal).into_http());
        }
        // Here, because the transport's own timer would give a less precise error.
        if Instant::now() >= call.deadline {
            let error = service::Error::Aws(service::AwsCallError::DeadlineBeforeAws);
            self.rejections.record(call, None, error.reason());
            return Ok(status::from_error(call, &error).into_http());
        }
        let Ok(_permit) = self.permits.try_acquire() else {
            counter!("logkey_limit_refused_total", "cause" => "overloaded").increment(1);
            let refusal =
                EdgeRefusal::Overloaded { retry_after: RETRY_AFTER + RETRY_AFTER.mul_f64(rand::random()) };
            self.rejections.record(call, None, refusal.reason());
            return Ok(status::from_refusal(call, &refusal).into_http());
        };
        next.call(request).await
    }
}
