//! The innermost layer of the guarded stack. tonic itself rejects undecodable bodies, too long bodies and
//! unknown methods; this layer records these rejections and gives them the form of every other one.

use std::sync::Arc;

use http::{Request, Response};
use tonic::body::Body;

use super::{
    middleware::{Middleware, Next},
    rejection::RejectionLog,
};
use crate::{
    domain::{call::Call, principal::Principal},
    server::grpc::status,
};

/// Records and rewords the rejections by tonic.
#[derive(Clone, Debug)]
pub(in crate::server) struct NormalizeErrors {
    pub(super) rejections: RejectionLog,
}

// === impl NormalizeErrors ===

impl Middleware for NormalizeErrors {
    async fn run<S: Next>(self, request: Request<Body>, mut next: S) -> Result<Response<Body>, S::Error> {
        let call = request.extensions().get::<Arc<Call>>().cloned();
        let principal = request.extensions().get::<Arc<Principal>>().cloned();
        let path: Box<str> = request.uri().path().into();
        let response = next.call(request).await?;
        let Some(call) = call else { return Ok(response) };
        let (response, refusal) = status::normalize(response, &call, &path);
        if let Some(reason) = refusal {
            self.rejections.record(&call, principal.as_deref(), reason);
        }
        Ok(response)
    }
}
