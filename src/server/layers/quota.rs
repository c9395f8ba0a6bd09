//! The layer that enforces tenant quotas. It runs after authentication, so that only authenticated callers
//! use a tenant's quota, and before the body is read, so that a rejection is cheap.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, Response};
use tonic::body::Body;
use tracing::Instrument as _;

use super::{
    middleware::{Middleware, Next},
    rejection::RejectionLog,
};
use crate::{
    domain::tenant::Tenant,
    ports::{Admission, OverQuota, QuotaState, TenantQuota, limit::Cost},
    server::grpc::{
        caller::Caller,
        status::{self, EdgeRefusal},
    },
    spans,
};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Rejects a call that exceeds its tenant's quota, and adds the `ratelimit-*` headers to every response.
#[derive(Clone)]
pub(in crate::server) struct Quota {
    pub(super) quota: Arc<dyn TenantQuota>,
    pub(super) rejections: RejectionLog,
}

// === impl Quota ===

impl Middleware for Quota {
    async fn run<S: Next>(self, request: Request<Body>, mut next: S) -> Result<Response<Body>, S::Error> {
        let Some(Caller { call, principal, snapshot, token: _ }) = Caller::of(request.extensions()) else {
            return Ok(status::missing_extension().into_http());
        };
        let Some(tenant) = snapshot.tenants().find(&principal.tenant) else {
            // The tenant was removed after the token was verified: the use case rejects the call.
            return next.call(request).await;
        };
        let cost = if call.action.is_mutation() { Cost::Change } else { Cost::Read };
        let admitted = self.quota.admit(&tenant, cost).instrument(spans::step("quota")).await;
        let (mut response, state) = match admitted {
            Ok(Admission { state, slot: _slot }) => (next.call(request).await?, state),
            Err(over) => {
                let (OverQuota::Rate { state, .. } | OverQuota::InFlight { state, .. }) = over;
                let refusal = EdgeRefusal::Quota(over);
                self.rejections.record(&call, Some(&principal), refusal.reason());
                (status::from_tenant_refusal(&call, &refusal, &tenant.id).into_http(), state)
            }
        };
        set_rate_limit_headers(&mut response, &tenant, &state);
        Ok(response)
    }
}

/// Sets the header fields of the IETF draft on rate limits: the burst, the calls left in it, and the seconds
/// until it is full again.
fn set_rate_limit_headers(response: &mut Response<Body>, tenant: &Tenant, state: &QuotaState) {
    let reset = state.reset.as_secs() + u64::from(state.reset.subsec_nanos() > 0);
    let headers = response.headers_mut();
    headers.insert(LIMIT, HeaderValue::from(tenant.limits.burst.get()));
    headers.insert(REMAINING, HeaderValue::from(state.remaining));
    headers.insert(RESET, HeaderValue::from(reset));
}
