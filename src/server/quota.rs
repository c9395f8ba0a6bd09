//! Keeps tenants to their limits: after authentication, so that a stranger cannot spend a tenant's
//! budget; before the body is read, so that refusing is cheap.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, Response};
use tonic::body::Body;

use super::{
    middleware::{Middleware, Next},
    status::{self, EdgeRefusal},
};
use crate::{
    domain::{
        audit::{Completion, Event, Kind},
        call::Call,
        principal::Principal,
        tenant::Tenant,
    },
    ports::{Admission, AuditLog, Clock, ConfigSnapshot, OverQuota, QuotaState, TenantQuota, limit::Cost},
};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// What the layer needs.
#[derive(Clone)]
pub struct Ports {
    /// Keeps them to their limits.
    pub quota: Arc<dyn TenantQuota>,
    /// Records refusals.
    pub audit: Arc<dyn AuditLog>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Refuses a call that is over its tenant's limits, and tells every caller what is left.
#[derive(Clone, Debug)]
pub(super) struct Quota {
    pub(super) ports: Ports,
}

// === impl Ports ===

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

impl Ports {
    fn audit_rejection(&self, call: &Call, principal: &Principal, refusal: &EdgeRefusal) {
        let mut event = Event::for_call(call, Some(principal), Kind::Refusal, self.clock.now());
        event.end = Some(Completion {
            failure: Some(refusal.reason()),
            aws_error: None,
            latency: call.received.elapsed(),
        });
        self.audit.record_best_effort(event);
    }
}

// === impl Quota ===

impl Middleware for Quota {
    async fn run<S: Next>(self, request: Request<Body>, mut next: S) -> Result<Response<Body>, S::Error> {
        let ports = self.ports;
        let extensions = request.extensions();
        let (Some(call), Some(principal), Some(in_force)) = (
            extensions.get::<Arc<Call>>().cloned(),
            extensions.get::<Arc<Principal>>().cloned(),
            extensions.get::<Arc<dyn ConfigSnapshot>>(),
        ) else {
            return Ok(status::missing_extension().into_http());
        };
        let Some(tenant) = in_force.tenants().find(&principal.tenant) else {
            // Not there, though the token was verified: the use case says so.
            return next.call(request).await;
        };
        let cost = if call.action.is_mutation() { Cost::Change } else { Cost::Read };
        let (mut response, state) = match ports.quota.admit(&tenant, cost).await {
            Ok(Admission { state, location: _held }) => (next.call(request).await?, state),
            Err(over) => {
                let (OverQuota::Rate { state, .. } | OverQuota::InFlight { state, .. }) = over;
                let refusal = EdgeRefusal::Quota(over);
                ports.audit_rejection(&call, &principal, &refusal);
                (status::refusal_for(&call, &refusal, &tenant.id).into_http(), state)
            }
        };
        set_rate_limit_headers(&mut response, &tenant, &state);
        Ok(response)
    }
}

/// The header fields of the IETF draft on rate limits: calls in a burst, calls left, seconds until the
/// burst is whole again.
fn set_rate_limit_headers(response: &mut Response<Body>, tenant: &Tenant, state: &QuotaState) {
    let reset = state.reset.as_secs() + u64::from(state.reset.subsec_nanos() > 0);
    let headers = response.headers_mut();
    headers.insert(LIMIT, HeaderValue::from(tenant.limits.burst.get()));
    headers.insert(REMAINING, HeaderValue::from(state.remaining));
    headers.insert(RESET, HeaderValue::from(reset));
}
