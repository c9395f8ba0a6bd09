//! The load generator, directly on HTTP/2. One with tonic's client would cost as much as E, and the server
//! would never be the bottleneck. Either a fixed number of calls is in flight, or calls start at a fixed
//! rate without waiting for earlier ones.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderValue, header::AUTHORIZATION};
use rand::Rng as _;
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};

use crate::{Outcome, method::Rpc};

/// The number of HTTP/2 connections.
const CONNECTIONS: usize = 4;
/// Calls in flight on each connection.
const STREAMS: usize = 16;
/// Calls in flight, and log groups.
pub(crate) const CALLERS: usize = CONNECTIONS * STREAMS;

/// The result of one window; the parent process gets it as one line.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Calls that succeeded in the window; no call failed.
    pub(crate) calls: u64,
    /// The window's length in seconds.
    pub(crate) seconds: f64,
    /// The median time of a call, in microseconds.
    pub(crate) p50: u64,
    /// The 99th percentile, in microseconds.
    pub(crate) p99: u64,
    /// The last response, in base64.
    pub(crate) answer: String,
}

#[derive(Default)]
struct CallerSample {
    micros: Vec<u64>,
    refused: u64,
    refusal: String,
    answer: Bytes,
}

/// One token for every call, or a new one for each call until none is left.
struct Tokens {
    all: Vec<HeaderValue>,
    used: AtomicUsize,
}

/// A caller with its connection and its request.
#[derive(Clone)]
struct Caller {
    sender: SendRequest<Bytes>,
    head: http::Request<()>,
    body: Bytes,
    tokens: Arc<Tokens>,
}

/// Loads `server` for `window` and prints the sample. `rate` is in calls per second; without it, each caller
/// calls again as soon as it has its response.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(
    server: SocketAddr,
    rpc: Rpc,
    window: Duration,
    tokens: &Path,
    rate: Option<f64>,
) -> Outcome<()> {
    let callers = callers(server, rpc, tokens).await?;
    let started = Instant::now();
    let sample = match rate {
        None => sequential(callers, started + window).await?,
        Some(rate) => at_rate(&callers, rate, started, window).await?,
    };
    let seconds = started.elapsed().as_secs_f64();
    let CallerSample { mut micros, refused, refusal, answer } = sample;
    if refused > 0 {
        return Err(format!("{refused} calls were refused: {refusal}").into());
    }
    micros.sort_unstable();
    let at = |part: usize| micros.get(micros.len() * part / 100).copied().unwrap_or(0);
    let answer = BASE64_STANDARD.encode(answer);
    println!("{} {seconds} {} {} {answer}", micros.len(), at(50), at(99));
    Ok(())
}

async fn callers(server: SocketAddr, rpc: Rpc, tokens: &Path) -> Outcome<Vec<Caller>> {
    let tokens = Arc::new(Tokens::read(tokens)?);
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        tokio::spawn(connection);
        connections.push(sender);
    }
    let mut callers = Vec::new();
    for (n, sender) in (0..CALLERS).zip(connections.into_iter().cycle()) {
        let head = http::Request::post(format!("http://{server}{}", rpc.path()))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        callers.push(Caller { sender, head, body: frame(&rpc.request(n)), tokens: Arc::clone(&tokens) });
    }
    Ok(callers)
}

/// Each caller has one call in flight until the window ends.
async fn sequential(callers: Vec<Caller>, end: Instant) -> Outcome<CallerSample> {
    let mut running = JoinSet::new();
    for mut caller in callers {
        running.spawn(async move {
            let mut sample = CallerSample::default();
            while Instant::now() < end && caller.call(Instant::now(), &mut sample).await? {}
            Ok(sample)
        });
    }
    collect(running).await
}

/// Calls start at random moments at an average of `rate` per second. Their time counts from the planned
/// start.
async fn at_rate(callers: &[Caller], rate: f64, started: Instant, window: Duration) -> Outcome<CallerSample> {
    let (send, mut moments) = mpsc::unbounded_channel();
    // A separate thread, because the runtime's timers have a resolution of a millisecond.
    thread::spawn(move || {
        let mut next = started;
        while next < started + window {
            while let Some(wait) = next.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
            {
                thread::park_timeout(wait);
            }
            if send.send(next).is_err() {
                return;
            }
            let gap = -(1.0 - rand::rng().random::<f64>()).ln() / rate;
            next += Duration::from_secs_f64(gap);
        }
    });
    let (mut running, mut idle) = (JoinSet::new(), callers.iter().cycle());
    while let Some(now) = moments.recv().await {
        let Some(mut caller) = idle.next().cloned() else { break };
        running.spawn(async move {
            let mut sample = CallerSample::default();
            caller.call(now, &mut sample).await?;
            Ok(sample)
        });
    }
    collect(running).await
}

async fn collect(mut running: JoinSet<Outcome<CallerSample>>) -> Outcome<CallerSample> {
    let mut all = CallerSample::default();
    while let Some(sample) = running.join_next().await {
        let sample = sample??;
        all.micros.extend(sample.micros);
        all.refused += sample.refused;
        all.answer = sample.answer;
        if !sample.refusal.is_empty() {
            all.refusal = sample.refusal;
        }
    }
    Ok(all)
}

// === impl Caller ===

impl Caller {
    /// Makes one call, timed from `started`. Returns false if no token is left.
    async fn call(&mut self, started: Instant, sample: &mut CallerSample) -> Outcome<bool> {
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
            sample.micros.push(u64::try_from(started.elapsed().as_micros())?);
            // Without the five bytes of the gRPC message prefix.
            sample.answer = answer.freeze().split_off(5);
        } else {
            sample.refused += 1;
            sample.refusal = format!("{trailers:?}");
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
    fn read(path: &Path) -> Outcome<Self> {
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

// === impl Sample ===

impl Sample {
    pub(crate) fn read(line: &str) -> Outcome<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [calls, seconds, p50, p99, answer] = words.as_slice() else {
            return Err(format!("a load generator printed an invalid line: {line}").into());
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
