//! The load generator. It sends calls at a fixed rate or as fast as the server answers, with a limit on the
//! calls in flight. It drops calls above this limit.

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
    server::cpu_seconds,
};

/// The number of HTTP/2 connections.
const CONNECTIONS: usize = 8;
/// How often it sends calls at a fixed rate.
const TICK: Duration = Duration::from_millis(1);
/// The share of its core that a generator may use before it counts as the bottleneck.
const MAX_BUSY: f64 = 0.9;

/// The load to generate.
pub(crate) struct Plan<'a> {
    pub(crate) server: SocketAddr,
    /// Calls per second; 0 means as many as the server answers.
    pub(crate) per_second: f64,
    /// The maximum of calls in flight, at most 250 for each connection.
    pub(crate) max: usize,
    pub(crate) window: Duration,
    pub(crate) token: &'a str,
}

/// The result of one window; the parent process gets it as one line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) sent: f64,
    /// Calls that were due but above the limit of calls in flight. A real client queues them.
    pub(crate) unsent: f64,
    pub(crate) good: f64,
    pub(crate) refused: f64,
    /// Calls still in flight at the end of the window.
    pub(crate) unanswered: f64,
    pub(crate) seconds: f64,
    /// The 99th percentile in microseconds, of successful and unanswered calls. An unanswered call counts
    /// with the time that it was in flight.
    pub(crate) p99: f64,
    /// The share of its core that the generator used, from 0 to 1.
    pub(crate) busy: f64,
}

#[derive(Default)]
struct ConnectionSample {
    sent: usize,
    unsent: f64,
    micros: Vec<u64>,
    refused: usize,
    unanswered: Vec<u64>,
}

/// Loads the server for one window and prints the sample.
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
        connections.spawn(load_connection(stream, Call::new(plan.token), rate, max, started + plan.window));
    }
    let mut all = ConnectionSample::default();
    while let Some(sample) = connections.join_next().await {
        let sample = sample??;
        all.sent += sample.sent;
        all.unsent += sample.unsent;
        all.refused += sample.refused;
        all.micros.extend(sample.micros);
        all.unanswered.extend(sample.unanswered);
    }
    let seconds = started.elapsed().as_secs_f64();
    let busy = cpu_seconds("self")? / seconds;
    let (good, unanswered) = (all.micros.len(), all.unanswered.len());
    all.micros.extend(all.unanswered);
    all.micros.sort_unstable();
    let p99 = all.micros.get(all.micros.len() * 99 / 100).copied().unwrap_or(0);
    println!("{} {} {good} {} {unanswered} {seconds} {p99} {busy}", all.sent, all.unsent, all.refused);
    Ok(())
}

async fn load_connection(
    stream: TcpStream,
    call: Call,
    rate: f64,
    max: usize,
    end: Instant,
) -> Outcome<ConnectionSample> {
    let (mut from, mut to) = stream.into_split();
    let (mut sample, mut in_flight) = (ConnectionSample::default(), HashMap::<u32, (Instant, bool)>::new());
    let (mut stream, mut due, mut ticked) = (1_u32, 0.0, Instant::now());
    let (mut unread, mut unsent) = (Vec::with_capacity(1 << 16), Vec::new());
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let now = Instant::now();
        if now >= end {
            sample.unanswered = in_flight.values().map(|(sent, _)| micros(now - *sent)).collect();
            return Ok(sample);
        }
        if rate > 0.0 {
            due += (now - ticked).as_secs_f64() * rate;
            ticked = now;
        } else {
            due = f64::INFINITY;
        }
        while due >= 1.0 && in_flight.len() < max {
            call.write(stream, &mut unsent);
            in_flight.insert(stream, (now, false));
            (stream, due, sample.sent) = (stream + 2, due - 1.0, sample.sent + 1);
        }
        // Calls above the limit are dropped, not sent later.
        if rate > 0.0 && due >= 1.0 {
            sample.unsent += due;
            due = 0.0;
        }
        if !unsent.is_empty() {
            to.write_all(&unsent).await?;
            unsent.clear();
        }
        tokio::select! {
            read = from.read_buf(&mut unread) => if read? == 0 {
                return Err("the server closed the connection".into());
            },
            _ = ticks.tick() => continue,
        }
        let (now, mut going_away) = (Instant::now(), false);
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
            Arrival::GoAway => going_away = true,
        });
        if going_away {
            return Err("the server sent GOAWAY".into());
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
            return Err(format!("a load generator printed an invalid line: {line}").into());
        };
        let sample = Self { sent, unsent, good, refused, unanswered, seconds, p99, busy };
        if good + refused < 1.0 {
            return Err(format!("no call was answered, so nothing was measured: {sample:?}").into());
        }
        Ok(sample)
    }

    /// Returns the sample, or an error if more than 2 % of the calls failed: its times mean little then.
    pub(crate) fn nearly_all_good(self) -> Outcome<Self> {
        if self.refused + self.unanswered > 0.02 * self.sent {
            return Err(format!("calls that should succeed were refused or not answered: {self:?}").into());
        }
        Ok(self)
    }

    /// Returns the sample, or an error if the load generator was the bottleneck.
    pub(crate) fn by_an_idle_generator(self) -> Outcome<Self> {
        if self.busy > MAX_BUSY {
            return Err(format!("the load generator is the bottleneck: {self:?}").into());
        }
        Ok(self)
    }

    /// Successful calls per second.
    pub(crate) fn goodput(self) -> f64 {
        self.good / self.seconds
    }
}
