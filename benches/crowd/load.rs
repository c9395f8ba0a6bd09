//! The load generator: so many calls a second, or as many as are answered, with a bound on those under
//! way. What finds no room is not sent.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    Outcome,
    frames::{Arrival, Call, OPENING, pong, read, settings_ack},
    process::cpu_seconds,
};

/// HTTP/2 connections.
const CONNECTIONS: usize = 8;
/// How often calls are sent, where a rate is to be kept.
const TICK: Duration = Duration::from_millis(1);
/// How much of its core a generator may use before it counts as the limit.
const MAX_BUSY: f64 = 0.9;

/// What to send.
pub(crate) struct Plan<'a> {
    pub(crate) server: SocketAddr,
    /// Calls a second; 0 is as many as are answered.
    pub(crate) per_second: f64,
    /// Calls under way at once, at most 250 for each connection.
    pub(crate) max: usize,
    pub(crate) window: Duration,
    pub(crate) token: &'a str,
}

/// What one window showed; goes to the parent as one line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) sent: f64,
    /// Meant to be sent, but there was no room: a client keeps such calls waiting.
    pub(crate) unsent: f64,
    pub(crate) good: f64,
    pub(crate) refused: f64,
    /// Under way still when the window was over.
    pub(crate) unanswered: f64,
    pub(crate) seconds: f64,
    /// The 99th percentile of the good ones and of those without an answer, which took at least as long as
    /// they had been under way, in microseconds.
    pub(crate) p99: f64,
    /// How much of its core the generator used, of 1.
    pub(crate) busy: f64,
}

#[derive(Default)]
struct ConnectionSample {
    sent: usize,
    unsent: f64,
    micros: Vec<u64>,
    refused: usize,
    waited: Vec<u64>,
}

/// Loads the server for a window and prints what it saw.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(plan: &Plan<'_>) -> Outcome<()> {
    let started = Instant::now();
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(plan.server).await?;
        stream.set_nodelay(true)?;
        stream.write_all(OPENING).await?;
        let rate = plan.per_second / f64::from(u32::try_from(CONNECTIONS)?);
        let max = (plan.max / CONNECTIONS).clamp(1, 250);
        connections.spawn(loaded(stream, Call::new(plan.token), rate, max, started + plan.window));
    }
    let mut all = ConnectionSample::default();
    while let Some(sample) = connections.join_next().await {
        let sample = sample??;
        all.sent += sample.sent;
        all.unsent += sample.unsent;
        all.refused += sample.refused;
        all.micros.extend(sample.micros);
        all.waited.extend(sample.waited);
    }
    let seconds = started.elapsed().as_secs_f64();
    let busy = cpu_seconds("self")? / seconds;
    let (good, unanswered) = (all.micros.len(), all.waited.len());
    all.micros.extend(all.waited);
    all.micros.sort_unstable();
    let p99 = all.micros.get(all.micros.len() * 99 / 100).copied().unwrap_or(0);
    println!("{} {} {good} {} {unanswered} {seconds} {p99} {busy}", all.sent, all.unsent, all.refused);
    Ok(())
}

async fn loaded(
    stream: TcpStream,
    call: Call,
    rate: f64,
    max: usize,
    end: Instant,
) -> Outcome<ConnectionSample> {
    let (mut from, mut to) = stream.into_split();
    let (mut sample, mut in_flight) = (ConnectionSample::default(), HashMap::<u32, (Instant, bool)>::new());
    let (mut stream, mut unreported, mut ticked) = (1_u32, 0.0, Instant::now());
    let (mut unread, mut unsent) = (Vec::with_capacity(1 << 16), Vec::new());
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let now = Instant::now();
        if now >= end {
            sample.waited = in_flight.values().map(|(sent, _)| micros(now - *sent)).collect();
            return Ok(sample);
        }
        if rate > 0.0 {
            unreported += (now - ticked).as_secs_f64() * rate;
            ticked = now;
        } else {
            unreported = f64::INFINITY;
        }
        while unreported >= 1.0 && in_flight.len() < max {
            call.write(stream, &mut unsent);
            in_flight.insert(stream, (now, false));
            (stream, unreported, sample.sent) = (stream + 2, unreported - 1.0, sample.sent + 1);
        }
        // What found no room is not sent later.
        if rate > 0.0 && unreported >= 1.0 {
            sample.unsent += unreported;
            unreported = 0.0;
        }
        if !unsent.is_empty() {
            to.write_all(&unsent).await?;
            unsent.clear();
        }
        tokio::select! {
            read = from.read_buf(&mut unread) => if read? == 0 { return Err("the server hung up".into()) },
            _ = ticks.tick() => continue,
        }
        let (now, mut goodbye) = (Instant::now(), false);
        let used = read(&unread, |arrived| match arrived {
            Arrival::Message(stream) => {
                if let Some((_, good)) = in_flight.get_mut(&stream) {
                    *good = true;
                }
            }
            Arrival::End(stream) => match in_flight.remove(&stream) {
                Some((sent, true)) => sample.micros.push(micros(now - sent)),
                Some((_, false)) => sample.refused += 1,
                None => {}
            },
            Arrival::Settings => unsent.extend(settings_ack()),
            Arrival::Ping(payload) => unsent.extend(pong(payload)),
            Arrival::Goodbye => goodbye = true,
        });
        if goodbye {
            return Err("the server said GOAWAY".into());
        }
        unread.drain(..used);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

// === impl Sample ===

impl Sample {
    pub(crate) fn read(line: &str) -> Outcome<Self> {
        let numbers: Vec<f64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let &[sent, unsent, good, refused, unanswered, seconds, p99, busy] = numbers.as_slice() else {
            return Err(format!("a load generator said: {line}").into());
        };
        let sample = Self { sent, unsent, good, refused, unanswered, seconds, p99, busy };
        if good + refused < 1.0 {
            return Err(format!("nothing was answered, so nothing was measured: {sample:?}").into());
        }
        Ok(sample)
    }

    /// The same, where nearly every call has to be answered with OK: else its times say little.
    pub(crate) fn nearly_all_good(self) -> Outcome<Self> {
        if self.refused + self.unanswered > 0.02 * self.sent {
            return Err(format!("calls that should be good were refused, or not answered: {self:?}").into());
        }
        Ok(self)
    }

    /// The same, where the generator was not what was full.
    pub(crate) fn by_an_idle_generator(self) -> Outcome<Self> {
        if self.busy > MAX_BUSY {
            return Err(format!("the load generator is the limit: {self:?}").into());
        }
        Ok(self)
    }

    /// Calls a second that were answered with OK.
    pub(crate) fn goodput(self) -> f64 {
        self.good / self.seconds
    }
}
