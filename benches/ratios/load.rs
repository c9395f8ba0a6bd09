//! The load generator: a fixed number of calls under way, over HTTP/2 frames of its own. One made of
//! tonic's client would cost as much as E does, and the server would never be the one that is full.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use tokio::{net::TcpStream, task::JoinSet};

use crate::{Outcome, method::Rpc};

/// HTTP/2 connections.
const CONNECTIONS: usize = 4;
/// Calls under way at once on each.
const STREAMS: usize = 16;
/// Calls under way at once.
pub(crate) const CALLERS: usize = CONNECTIONS * STREAMS;

/// What one window showed; goes to the parent as one line.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Calls answered, all with OK, inside the window.
    pub(crate) calls: u64,
    /// The window's length in seconds.
    pub(crate) seconds: f64,
    /// The median time of a call, in microseconds.
    pub(crate) p50: u64,
    /// The 99th percentile, in microseconds.
    pub(crate) p99: u64,
    /// The last answer, as base64.
    pub(crate) answer: String,
}

#[derive(Default)]
struct Seen {
    micros: Vec<u64>,
    refused: u64,
    refusal: String,
    answer: Bytes,
}

/// Loads `server` for `window` and prints what it saw.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(server: SocketAddr, rpc: Rpc, window: Duration, token: &str) -> Outcome<()> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        tokio::spawn(connection);
        connections.push(sender);
    }
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for n in 0..CALLERS {
        let Some(sender) = connections.get(n % CONNECTIONS).cloned() else {
            return Err("no connection".into());
        };
        let head = http::Request::post(format!("http://{server}{}", rpc.path()))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"))
            .body(())?;
        callers.spawn(call_until(began + window, sender, head, frame(&rpc.request(n))));
    }
    let mut all = Seen::default();
    while let Some(seen) = callers.join_next().await {
        let seen = seen??;
        all.micros.extend(seen.micros);
        all.refused += seen.refused;
        all.answer = seen.answer;
        if !seen.refusal.is_empty() {
            all.refusal = seen.refusal;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    if !all.refusal.is_empty() {
        return Err(format!("{} calls were refused: {}", all.refused, all.refusal).into());
    }
    all.micros.sort_unstable();
    let at = |part: usize| all.micros.get(all.micros.len() * part / 100).copied();
    println!(
        "{} {seconds} {} {} {}",
        all.micros.len(),
        at(50).unwrap_or(0),
        at(99).unwrap_or(0),
        BASE64_STANDARD.encode(all.answer),
    );
    Ok(())
}

async fn call_until(
    end: Instant,
    mut sender: SendRequest<Bytes>,
    head: http::Request<()>,
    body: Bytes,
) -> Outcome<Seen> {
    let mut seen = Seen::default();
    while Instant::now() < end {
        let began = Instant::now();
        sender = sender.ready().await?;
        let (response, mut send) = sender.send_request(head.clone(), false)?;
        send.send_data(body.clone(), true)?;
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
            seen.micros.push(u64::try_from(began.elapsed().as_micros())?);
            // Behind the five bytes that a gRPC message begins with.
            seen.answer = answer.freeze().split_off(5);
        } else {
            seen.refused += 1;
            seen.refusal = format!("{trailers:?}");
        }
    }
    Ok(seen)
}

/// A message as gRPC frames it: not compressed, its length, itself.
fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

// === impl Sample ===

impl Sample {
    pub(crate) fn read(line: &str) -> Outcome<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [calls, seconds, p50, p99, answer] = words.as_slice() else {
            return Err(format!("a load generator said: {line}").into());
        };
        Ok(Self {
            calls: calls.parse()?,
            seconds: seconds.parse()?,
            p50: p50.parse()?,
            p99: p99.parse()?,
            answer: (*answer).to_owned(),
        })
    }
}
