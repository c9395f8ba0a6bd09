//! A gRPC client over HTTP/2 frames, for the load generators: tonic's client would cost as much as E.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use tokio::net::TcpStream;

use crate::{Outcome, method::Rpc};

/// The results of several calls.
#[derive(Default)]
pub(crate) struct Results {
    /// The latency of each call that was answered with OK.
    pub(crate) micros: Vec<u64>,
    pub(crate) refused: u64,
    /// The trailers of the last refusal.
    pub(crate) refusal: HeaderMap,
    /// The last answer.
    pub(crate) answer: Bytes,
}

/// One token for every call, or a new one for each call until none is left.
pub(crate) struct Tokens {
    all: Vec<HeaderValue>,
    used: AtomicUsize,
}

/// Sends one request again and again on one connection.
#[derive(Clone)]
pub(crate) struct Caller {
    sender: SendRequest<Bytes>,
    head: http::Request<()>,
    body: Bytes,
    tokens: Arc<Tokens>,
}

/// Opens an HTTP/2 connection.
pub(crate) async fn connect(server: SocketAddr) -> Outcome<SendRequest<Bytes>> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    Ok(sender)
}

// === impl Caller ===

impl Caller {
    /// The `n`th caller.
    pub(crate) fn new(
        sender: SendRequest<Bytes>,
        server: SocketAddr,
        rpc: Rpc,
        n: usize,
        tokens: Arc<Tokens>,
    ) -> Outcome<Self> {
        let head = http::Request::post(format!("http://{server}{}", rpc.path()))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        Ok(Self { sender, head, body: frame(&rpc.request(n)), tokens })
    }

    /// Makes one call, timed from `started`. Returns false if no token is left.
    pub(crate) async fn call(&mut self, started: Instant, results: &mut Results) -> Outcome<bool> {
        let Some(token) = self.tokens.next() else { return Ok(false) };
        let mut head = self.head.clone();
        head.headers_mut().insert(AUTHORIZATION, token);
        self.sender = self.sender.clone().ready().await?;
        let (response, mut send) = self.sender.send_request(head, false)?;
        send.send_data(self.body.clone(), true)?;
        let mut response = response.await?;
        let mut answer = BytesMut::new();
        while let Some(chunk) = response.body_mut().data().await {
            let chunk = chunk?;
            response.body_mut().flow_control().release_capacity(chunk.len())?;
            answer.put(chunk);
        }
        let trailers = response.body_mut().trailers().await?;
        let trailers = trailers.as_ref().unwrap_or_else(|| response.headers());
        if trailers.get("grpc-status").is_some_and(|status| status == "0") {
            results.micros.push(u64::try_from(started.elapsed().as_micros())?);
            // Without the five bytes of the gRPC message prefix.
            results.answer = answer.freeze().split_off(5);
        } else {
            results.refused += 1;
            results.refusal.clone_from(trailers);
        }
        Ok(true)
    }
}

/// A gRPC message frame: the flag "not compressed", the length, the message.
fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

// === impl Tokens ===

impl Tokens {
    /// Reads a file with one token on each line.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let text = fs::read_to_string(path)?;
        let all: Result<_, _> = text.lines().map(|t| HeaderValue::try_from(format!("Bearer {t}"))).collect();
        Ok(Self { all: all?, used: AtomicUsize::new(0) })
    }

    fn next(&self) -> Option<HeaderValue> {
        match self.all.as_slice() {
            [only] => Some(only.clone()),
            all => all.get(self.used.fetch_add(1, Ordering::Relaxed)).cloned(),
        }
    }
}
