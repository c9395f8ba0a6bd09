//! An issuer's own server: answers as it is told, and remembers when it was asked.

use std::{
    fmt::Debug,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri, header::LOCATION},
    response::{IntoResponse, Response},
    serve::Listener,
};
use rustls::ServerConfig;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What it answers under `/keys`.
#[derive(Clone)]
pub(super) enum Answer {
    Keys(Value),
    Text(String),
    Fails,
    Hangs,
}

/// The server, which ends with its test.
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
    /// How many are under way, and the most that were.
    at_once: Mutex<(usize, usize)>,
}

/// One request under way, until it is answered or its client went away.
struct InFlight(Arc<RequestLog>);

impl Idp {
    pub(super) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        Self::serving(listener, base, answer)
    }

    /// As `https://localhost`, by these settings of TLS.
    pub(super) async fn start_over_tls(answer: Answer, tls: ServerConfig) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://localhost:{}", tcp.local_addr().unwrap().port());
        Self::serving(Secured { tcp, tls: Arc::new(tls).into() }, base, answer)
    }

    fn serving<L: Listener<Addr: Debug>>(listener: L, base: String, answer: Answer) -> Self {
        let request_log = Arc::new(RequestLog {
            base: base.clone(),
            answer: Mutex::new(answer),
            discovery: Mutex::default(),
            request_times: Mutex::default(),
            at_once: Mutex::default(),
        });
        let app = Router::new().fallback(response).with_state(Arc::clone(&request_log));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, request_log, task }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    pub(super) fn says(&self, answer: Answer) {
        *self.request_log.answer.lock().unwrap() = answer;
    }

    /// What its discovery document is.
    pub(super) fn is_discovered_by(&self, document: &Value) {
        *self.request_log.discovery.lock().unwrap() = Some(document.to_string());
    }

    /// How often it was asked for its keys.
    pub(super) fn request_count(&self) -> usize {
        self.request_log.request_times.lock().unwrap().len()
    }

    /// When it was asked for them.
    pub(super) fn times(&self) -> Vec<Instant> {
        self.request_log.request_times.lock().unwrap().clone()
    }

    /// The most requests for them that were under way at once.
    pub(super) fn max_concurrent(&self) -> usize {
        self.request_log.at_once.lock().unwrap().1
    }
}

/// Takes connections whose handshake comes about.
struct Secured {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for Secured {
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
        let mut at_once = request_log.at_once.lock().unwrap();
        at_once.0 += 1;
        at_once.1 = at_once.1.max(at_once.0);
        Self(Arc::clone(request_log))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.at_once.lock().unwrap().0 -= 1;
    }
}

fn to(url: &str) -> Response {
    (StatusCode::FOUND, [(LOCATION, url)]).into_response()
}

/// `/keys`, `/.well-known/openid-configuration`, `/hops/N` that leads to `/keys` by so many and one more
/// redirects, and `/to/URL` that leads there.
async fn response(State(request_log): State<Arc<RequestLog>>, uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if let Some(url) = path.strip_prefix("to/") {
        return to(url);
    }
    if let Some(hops) = path.strip_prefix("hops/") {
        return match hops.parse::<u32>().unwrap().checked_sub(1) {
            Some(fewer) => to(&format!("{}/hops/{fewer}", request_log.base)),
            None => to(&format!("{}/keys", request_log.base)),
        };
    }
    if path == ".well-known/openid-configuration" {
        let document = request_log.discovery.lock().unwrap().clone();
        return document.map_or_else(
            || StatusCode::NOT_FOUND.into_response(),
            axum::response::IntoResponse::into_response,
        );
    }
    let _in_flight = InFlight::begin(&request_log);
    request_log.request_times.lock().unwrap().push(Instant::now());
    let answer = request_log.answer.lock().unwrap().clone();
    match answer {
        Answer::Keys(keys) => keys.to_string().into_response(),
        Answer::Text(text) => text.into_response(),
        Answer::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Answer::Hangs => std::future::pending().await,
    }
}
