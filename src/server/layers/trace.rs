//! The outermost middleware: gives each call its request id, deadline, spans, log line and metrics.
//!
//! It returns an internal error if a handler panics.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use metrics::counter;
use tokio_util::task::TaskTracker;
use tonic::{Status, body::Body};
use tracing::Instrument as _;

use super::{
    call_metrics::CallMetrics,
    call_span,
    client_timeout::client_timeout,
    log_sampler::{LogSampler, Sampled},
    middleware::{Middleware, Next},
};
use crate::{
    domain::{
        call::{Action, Call, CallSummary, RequestId, TraceId},
        reason::Reason,
    },
    server::{
        grpc::status,
        transport::{connection::Peer, source::TrustedProxies},
    },
};

/// The request id, in requests and in responses.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The trace that the caller's span belongs to (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The longest `user-agent` that is kept, in characters; the rest is cut off.
const MAX_USER_AGENT: usize = 256;
/// The fraction of a client's timeout that is reserved, so that the response reaches the client in time.
const CLOCK_MARGIN: u32 = 20;
/// The longest time that is reserved.
const MAX_MARGIN: Duration = Duration::from_millis(100);

/// Observes every call.
#[derive(Clone, Debug)]
pub(in crate::server) struct Trace {
    /// The longest time of a call, unless its client sets a shorter one.
    request_timeout: Duration,
    /// The proxies whose `x-forwarded-for` is trusted.
    trusted_proxies: TrustedProxies,
    /// The calls in flight; a shutdown waits for them.
    calls: TaskTracker,
    /// Decides which calls get a log line.
    lines: Arc<LogSampler>,
    metrics: Arc<CallMetrics>,
    /// Whether `logkey_requests_total` has the tenant as a label.
    count_tenants: bool,
}

// === impl Trace ===

impl Trace {
    pub(in crate::server) fn new(
        request_timeout: Duration,
        trusted_proxies: TrustedProxies,
        calls: TaskTracker,
    ) -> Self {
        let (lines, metrics) = (Arc::default(), Arc::default());
        Self { request_timeout, trusted_proxies, calls, lines, metrics, count_tenants: false }
    }

    /// Adds the tenant to the labels of `logkey_requests_total`.
    pub(in crate::server) fn count_tenants(self, count_tenants: bool) -> Self {
        Self { count_tenants, ..self }
    }
}

impl Middleware for Trace {
    async fn run<S: Next>(self, mut request: Request<Body>, mut next: S) -> Result<Response<Body>, S::Error> {
        let _in_flight = self.calls.token();
        let caller_trace = trace_of(request.headers());
        let root = call_span::start(&request, caller_trace.is_some());
        let trace = caller_trace.or_else(|| root.sampled_trace());
        let call = Arc::new(new_call(&request, &self, trace));
        request.extensions_mut().insert(Arc::clone(&call));
        let path: Box<str> = request.uri().path().into();
        // At the level `error`, so that errors name their call even if lower levels are not logged.
        let span = tracing::error_span!(
            "call",
            request_id = %call.request_id,
            rpc = %call.action,
            trace_id = call.summary.trace().map(tracing::field::display),
        );
        let run = async move {
            let response = AssertUnwindSafe(next.call(request)).catch_unwind().await;
            let mut response = match response {
                Ok(response) => status::normalize(response?, &call, &path).0,
                Err(_panic) => {
                    tracing::error!("a handler panicked");
                    status::internal(&call).into_http()
                }
            };
            if let Ok(id) = HeaderValue::from_str(call.request_id.as_str()) {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            mark_never_indexed(response.headers_mut());
            log_and_count(&self, &call, &path, response.headers());
            call_span::describe(&call, &path, response.headers());
            Ok(response)
        };
        root.record(run.instrument(span)).await
    }
}

/// Sends values that occur only once as literals that are never indexed (RFC 7541, section 6.2.3). Otherwise
/// they would evict repeated values from the connection's HPACK table.
fn mark_never_indexed(headers: &mut HeaderMap) {
    for name in [REQUEST_ID, Status::GRPC_STATUS_DETAILS] {
        if let Some(value) = headers.get_mut(name) {
            value.set_sensitive(true);
        }
    }
}

fn new_call(request: &Request<Body>, layer: &Trace, trace: Option<TraceId>) -> Call {
    let request_timeout = layer.request_timeout;
    let headers = request.headers();
    let received = Instant::now();
    let peer = request.extensions().get::<Peer>();
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let request_id = text(&REQUEST_ID).and_then(|id| id.parse().ok());
    // The layers behind this one reject a malformed timeout.
    let limit = client_timeout(headers).ok().flatten().map_or(request_timeout, |limit| {
        limit.saturating_sub((limit / CLOCK_MARGIN).min(MAX_MARGIN)).min(request_timeout)
    });
    let summary = CallSummary::default();
    if let Some(trace) = trace {
        summary.set_trace(trace);
    }
    Call {
        request_id: request_id.unwrap_or_else(RequestId::new_v7),
        action: action(request.uri().path()),
        source: peer.map(|peer| layer.trusted_proxies.source(peer.address.ip(), headers)),
        unverified_user_agent: text(&http::header::USER_AGENT)
            .map(|agent| agent.chars().take(MAX_USER_AGENT).collect()),
        summary,
        received,
        deadline: received + limit,
    }
}

/// The trace of the caller. More than one `traceparent` counts as none, because neither is a safe choice.
fn trace_of(headers: &HeaderMap) -> Option<TraceId> {
    let mut entries = headers.get_all(TRACEPARENT).iter();
    let only = entries.next().filter(|_| entries.next().is_none())?;
    TraceId::from_traceparent(only.to_str().ok()?).ok()
}

/// The RPC of a path, which has the form `/package.Service/Method`.
fn action(path: &str) -> Action {
    match path.strip_prefix("/keyassociation.v1.").and_then(|rest| rest.split_once('/')) {
        Some((_service, method)) => Action::from_grpc_name(method),
        None => Action::Unknown,
    }
}

/// Writes the log line and the metrics of a call, except for health probes and reflection.
fn log_and_count(trace: &Trace, call: &Call, path: &str, headers: &HeaderMap) {
    let now = Instant::now();
    let latency = now - call.received;
    let code = status::code_name(headers);
    if call.action == Action::Unknown && (code == "OK" || path.starts_with("/grpc.")) {
        return;
    }
    let summary = &call.summary;
    let tenant = summary.principal().map(|principal| principal.tenant.as_str());
    let label = trace.count_tenants.then(|| tenant.unwrap_or_default());
    trace.metrics.record(call.action, code, label, latency);
    let reason = summary.reason().filter(|_| code != "OK");
    if let Some(reason) = reason {
        counter!("logkey_errors_total", "reason" => reason.as_str()).increment(1);
    }
    match trace.lines.sample(code, now) {
        Sampled::Own => {
            let location = summary.location();
            tracing::info!(
                grpc.code = code,
                reason = reason.map(Reason::as_str),
                tenant,
                subject = summary.principal().map(|principal| &*principal.subject),
                account = location.map(|location| location.account.as_str()),
                region = location.map(|location| location.region.as_str()),
                resource = summary.resource().map(|resource| tracing::field::display(resource.arn())),
                quota_wait_ms = milliseconds(summary.quota_wait()),
                latency_ms = milliseconds(latency),
                trace_id = summary.trace().map(tracing::field::display),
                "call ended"
            );
        }
        Sampled::Last => {
            tracing::warn!(
                grpc.code = code,
                "too many calls end with this code: further ones are not logged in this second; see logkey_requests_total"
            );
        }
        Sampled::None => {}
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_call_are_never_indexed() {
        let mut headers = HeaderMap::new();
        for name in ["x-request-id", "grpc-status-details-bin", "grpc-status"] {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        mark_never_indexed(&mut headers);
        let separate: Vec<&str> =
            headers.iter().filter(|(_, value)| value.is_sensitive()).map(|(name, _)| name.as_str()).collect();
        assert_eq!(separate, ["x-request-id", "grpc-status-details-bin"]);
    }

    #[test]
    fn a_path_names_an_rpc_only_in_our_package() {
        assert_eq!(action("/keyassociation.v1.TenantService/GetCaller"), Action::GetCaller);
        assert_eq!(action("/other.v1.TenantService/GetCaller"), Action::Unknown);
        assert_eq!(action("/keyassociation.v1.TenantService"), Action::Unknown);
    }
}
