//! A fake issuer server with configurable answers; it records its requests.

use std::{fmt::Debug, io, net::SocketAddr, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri, header::LOCATION},
    response::{IntoResponse, Response},
    serve::Listener,
};
use parking_lot::Mutex;
use rustls::ServerConfig;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The answer to a request of `/keys`.
#[derive(Clone)]
pub(super) enum Answer {
    Keys(Value),
    Text(String),
    Fails,
    Hangs,
}

/// A fake issuer server, which ends when it is dropped.
pub(super) struct Idp {
    base: String,
    request_log: Arc<RequestLog>,
    task: JoinHandle<()>,
}

struct RequestLog {
    base: String,
    answer: Mutex<Answer>,
    discovery: Mutex<Option<String>>,
    request_times: Mutex<Vec<Instant>>,
    /// The number of requests in flight, and its maximum.
    in_flight_and_max: Mutex<(usize, usize)>,
}

/// One request in flight, until it is answered or its client disconnects.
struct InFlight(Arc<RequestLog>);

impl Idp {
    pub(super) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        Self::serving(listener, base, answer)
    }

    /// Serves `https://localhost`, by these settings of TLS.
    pub(super) async fn start_over_tls(answer: Answer, tls: ServerConfig) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://localhost:{}", tcp.local_addr().unwrap().port());
        Self::serving(TlsListener { tcp, tls: Arc::new(tls).into() }, base, answer)
    }

    fn serving<L: Listener<Addr: Debug>>(listener: L, base: String, answer: Answer) -> Self {
        let request_log = Arc::new(RequestLog {
            base: base.clone(),
            answer: Mutex::new(answer),
            discovery: Mutex::default(),
            request_times: Mutex::default(),
            in_flight_and_max: Mutex::default(),
        });
        let app = Router::new().fallback(respond).with_state(Arc::clone(&request_log));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, request_log, task }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    pub(super) fn set_answer(&self, answer: Answer) {
        *self.request_log.answer.lock() = answer;
    }

    /// Sets its discovery document.
    pub(super) fn set_discovery(&self, document: &Value) {
        *self.request_log.discovery.lock() = Some(document.to_string());
    }

    /// The number of requests for its keys.
    pub(super) fn request_count(&self) -> usize {
        self.request_log.request_times.lock().len()
    }

    /// The times of the requests for its keys.
    pub(super) fn times(&self) -> Vec<Instant> {
        self.request_log.request_times.lock().clone()
    }

    /// The maximum number of concurrent requests for its keys.
    pub(super) fn max_concurrent(&self) -> usize {
        self.request_log.in_flight_and_max.lock().1
    }
}

/// Accepts TLS connections and drops those whose handshake fails.
struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, from) = self.tcp.accept().await.unwrap();
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl InFlight {
    fn begin(request_log: &Arc<RequestLog>) -> Self {
        let mut in_flight_and_max = request_log.in_flight_and_max.lock();
        in_flight_and_max.0 += 1;
        in_flight_and_max.1 = in_flight_and_max.1.max(in_flight_and_max.0);
        Self(Arc::clone(request_log))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight_and_max.lock().0 -= 1;
    }
}

fn redirect_to(url: &str) -> Response {
    (StatusCode::FOUND, [(LOCATION, url)]).into_response()
}

/// Serves `/keys`, `/.well-known/openid-configuration`, `/hops/N`, which redirects N + 1 times and ends at
/// `/keys`, and `/to/URL`, which redirects to the URL.
async fn respond(State(request_log): State<Arc<RequestLog>>, uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if let Some(url) = path.strip_prefix("to/") {
        return redirect_to(url);
    }
    if let Some(hops) = path.strip_prefix("hops/") {
        return match hops.parse::<u32>().unwrap().checked_sub(1) {
            Some(fewer) => redirect_to(&format!("{}/hops/{fewer}", request_log.base)),
            None => redirect_to(&format!("{}/keys", request_log.base)),
        };
    }
    if path == ".well-known/openid-configuration" {
        let document = request_log.discovery.lock().clone();
        return document.map_or_else(
            || StatusCode::NOT_FOUND.into_response(),
            axum::response::IntoResponse::into_response,
        );
    }
    let _in_flight = InFlight::begin(&request_log);
    request_log.request_times.lock().push(Instant::now());
    let answer = request_log.answer.lock().clone();
    match answer {
        Answer::Keys(keys) => keys.to_string().into_response(),
        Answer::Text(text) => text.into_response(),
        Answer::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Answer::Hangs => std::future::pending().await,
    }
}
