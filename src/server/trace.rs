//! Outermost of our layers: gives each call its id, circumstances, span, log line and metrics, and
//! answers where a handler panicked.

mod log_sampler;

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio_util::task::TaskTracker;
use tonic::{Status, body::Body};
use tracing::Instrument as _;

pub(super) use self::log_sampler::LogSampler;
use self::log_sampler::Sampled;
use super::{
    connection::Peer,
    middleware::{Middleware, Next},
    source::TrustedProxies,
    status,
};
use crate::domain::call::{Action, Call, RequestId};

/// The header that carries the request id, in and out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long a client's `user-agent` may be before it is cut.
const MAX_USER_AGENT: usize = 256;
/// How much of a client's own time limit is kept back, so that our answer reaches it in time.
const CLOCK_MARGIN: u32 = 20;
/// The longest time kept back.
const MAX_MARGIN: Duration = Duration::from_millis(100);

/// Knows each call by its id.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    /// The longest a call may take, where its client sets no shorter limit.
    pub(super) request_timeout: Duration,
    /// Whose word counts on where a call comes from.
    pub(super) trusted_proxies: TrustedProxies,
    /// The calls under way, which a stop waits for.
    pub(super) calls: TaskTracker,
    /// Which of them have a line in the log.
    pub(super) lines: Arc<LogSampler>,
}

// === impl Trace ===

impl Middleware for Trace {
    async fn run<S: Next>(self, mut request: Request<Body>, mut next: S) -> Result<Response<Body>, S::Error> {
        let _in_flight = self.calls.token();
        let call = Arc::new(annotate_span(&request, &self));
        let lines = self.lines;
        request.extensions_mut().insert(Arc::clone(&call));
        let path: Box<str> = request.uri().path().into();
        // At the level of errors, so that these name their call where nothing below them is logged.
        let span = tracing::error_span!("call", request_id = %call.request_id, rpc = %call.action);
        let answer = async move {
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
            log_and_count(&call, &path, response.headers(), &lines);
            Ok(response)
        };
        answer.instrument(span).await
    }
}

/// Values that hold for one call alone would push out of the connection's HPACK table what comes again, so
/// they are sent as literals that are never indexed (RFC 7541, section 6.2.3).
fn mark_never_indexed(headers: &mut HeaderMap) {
    for name in [REQUEST_ID, Status::GRPC_STATUS_DETAILS] {
        if let Some(value) = headers.get_mut(name) {
            value.set_sensitive(true);
        }
    }
}

fn annotate_span(request: &Request<Body>, trace: &Trace) -> Call {
    let request_timeout = trace.request_timeout;
    let headers = request.headers();
    let received = Instant::now();
    let peer = request.extensions().get::<Peer>();
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let request_id = text(&REQUEST_ID).and_then(|id| id.parse().ok());
    let limit = client_timeout(headers).map_or(request_timeout, |limit| {
        limit.saturating_sub((limit / CLOCK_MARGIN).min(MAX_MARGIN)).min(request_timeout)
    });
    Call {
        request_id: request_id.unwrap_or_else(RequestId::new_v7),
        action: action(request.uri().path()),
        source: peer.map(|peer| trace.trusted_proxies.source(peer.address.ip(), headers)),
        unverified_user_agent: text(&http::header::USER_AGENT)
            .map(|agent| agent.chars().take(MAX_USER_AGENT).collect()),
        received,
        deadline: received + limit,
    }
}

/// The RPC that a path names: `/package.Service/Method`.
fn action(path: &str) -> Action {
    match path.strip_prefix("/keyassociation.v1.").and_then(|rest| rest.split_once('/')) {
        Some((_service, method)) => Action::from_grpc_name(method),
        None => Action::Unknown,
    }
}

/// `grpc-timeout` of the gRPC protocol: at most eight digits and a unit. What is malformed is taken as
/// absent, as tonic does.
fn client_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// Says how the call ended: a log line and metrics. Health probes and reflection are not told.
fn log_and_count(call: &Call, path: &str, headers: &HeaderMap, lines: &LogSampler) {
    let now = Instant::now();
    let latency = now - call.received;
    let code = status::code_name(headers);
    if call.action == Action::Unknown && (code == "OK" || path.starts_with("/grpc.")) {
        return;
    }
    metrics::counter!("logkey_requests_total", "rpc" => call.action.as_str(), "code" => code).increment(1);
    metrics::histogram!("logkey_request_seconds", "rpc" => call.action.as_str())
        .record(latency.as_secs_f64());
    match lines.sample(code, now) {
        Sampled::Own => {
            tracing::info!(grpc.code = code, latency_ms = latency.as_secs_f64() * 1e3, "call ended");
        }
        Sampled::Last => {
            tracing::warn!(
                grpc.code = code,
                "too many calls end so for a line each: see logkey_requests_total"
            );
        }
        Sampled::None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(text: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), text.parse().unwrap())]);
        client_timeout(&headers)
    }

    #[test]
    fn a_clients_time_limit_is_read_in_every_unit_and_noise_is_none() {
        assert_eq!(limit("1H"), Some(Duration::from_hours(1)));
        assert_eq!(limit("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(limit("100m"), Some(Duration::from_millis(100)));
        for noise in ["", "S", "1", "123456789S", "-1S", "1.5S", "1 S", "1h"] {
            assert_eq!(limit(noise), None, "{noise:?}");
        }
    }

    #[test]
    fn what_holds_for_one_call_alone_is_never_indexed() {
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
    fn an_rpc_is_known_by_its_path_and_only_under_our_package() {
        assert_eq!(action("/keyassociation.v1.TenantService/GetCaller"), Action::GetCaller);
        assert_eq!(action("/other.v1.TenantService/GetCaller"), Action::Unknown);
        assert_eq!(action("/keyassociation.v1.TenantService"), Action::Unknown);
    }
}
