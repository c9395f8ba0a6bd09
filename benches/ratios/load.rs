//! The load generator, directly on HTTP/2. One with tonic's client would cost as much as E, and the server
//! would never be the bottleneck. Either a fixed number of calls is in flight, or calls start at a fixed
//! rate without waiting for earlier ones.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rand::Rng as _;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    Outcome,
    caller::{Caller, Results, Tokens, connect},
    method::Rpc,
};

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
    let results = match rate {
        None => sequential(callers, started + window).await?,
        Some(rate) => at_rate(&callers, rate, started, window).await?,
    };
    let seconds = started.elapsed().as_secs_f64();
    let Results { mut micros, refused, refusal, answer } = results;
    if refused > 0 {
        return Err(format!("{refused} calls were refused: {refusal:?}").into());
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
        connections.push(connect(server).await?);
    }
    (0..CALLERS)
        .zip(connections.into_iter().cycle())
        .map(|(n, sender)| Caller::new(sender, server, rpc, n, Arc::clone(&tokens)))
        .collect()
}

/// Each caller has one call in flight until the window ends.
async fn sequential(callers: Vec<Caller>, end: Instant) -> Outcome<Results> {
    let mut running = JoinSet::new();
    for mut caller in callers {
        running.spawn(async move {
            let mut results = Results::default();
            while Instant::now() < end && caller.call(Instant::now(), &mut results).await? {}
            Ok(results)
        });
    }
    collect(running).await
}

/// Calls start at random moments at an average of `rate` per second. Their time counts from the planned
/// start.
async fn at_rate(callers: &[Caller], rate: f64, started: Instant, window: Duration) -> Outcome<Results> {
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
            let mut results = Results::default();
            caller.call(now, &mut results).await?;
            Ok(results)
        });
    }
    collect(running).await
}

async fn collect(mut running: JoinSet<Outcome<Results>>) -> Outcome<Results> {
    let mut all = Results::default();
    while let Some(results) = running.join_next().await {
        let results = results??;
        all.micros.extend(results.micros);
        all.refused += results.refused;
        all.answer = results.answer;
        if !results.refusal.is_empty() {
            all.refusal = results.refusal;
        }
    }
    Ok(all)
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
