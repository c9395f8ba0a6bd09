//! The task of one sink: reads the next lines, writes them to the sink, and saves the position. If the sink
//! fails, the task retries the same lines. The events wait in the store meanwhile.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{self, Instant, MissedTickBehavior},
};

use super::{
    pages::{self, Page},
    source::{EventSource, NamedSink, SinkTiming},
    state::State,
};
use crate::{
    domain::{error_chain::error_chain, time::Timestamp},
    ports::{SinkPosition, SinkRecord, Unavailable},
};

/// The cause of a failure that is the store's and not the sink's.
const STORE: &str = "store";

pub(super) struct SinkWorker {
    named: NamedSink,
    /// The names of all sinks of this process.
    all: Arc<[Box<str>]>,
    source: EventSource,
    timing: SinkTiming,
    state: State,
    /// The position of the sink.
    at: SinkPosition,
    /// The position that the store has.
    saved: SinkPosition,
    saved_at: Instant,
    /// The time of the first event that the sink has not received.
    next: Option<Timestamp>,
    /// Whether this process was the last to feed the sink.
    fed: bool,
}

/// How a round ended.
enum RoundResult {
    /// The sink has received all lines, or this process does not feed it.
    Done,
    /// The worker retries later.
    Failed,
}

// === impl SinkWorker ===

impl SinkWorker {
    pub(super) fn new(
        named: NamedSink,
        all: Arc<[Box<str>]>,
        at: SinkPosition,
        source: EventSource,
        timing: SinkTiming,
    ) -> Self {
        let (state, fed) = (State::new(named.name.clone()), source.leadership.is_leader());
        let (saved, saved_at) = (at, Instant::now());
        Self { named, all, source, timing, state, at, saved, saved_at, next: None, fed }
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut wait = self.timing.first_retry;
        loop {
            let last = *stop.borrow_and_update();
            let rest = match self.run_once().await {
                RoundResult::Done => {
                    wait = self.timing.first_retry;
                    self.timing.every
                }
                RoundResult::Failed => {
                    let rest = wait;
                    wait = (wait * 2).min(self.timing.max_retry);
                    rest
                }
            };
            self.update_gauges().await;
            if last {
                return;
            }
            // Run another round after the time has passed or on a stop. End if the sender of the stop
            // signal is gone.
            if let Ok(Err(_gone)) = time::timeout(rest, stop.changed()).await {
                return;
            }
        }
    }

    /// Sends the sink every line that it has not received, if this process is the leader.
    async fn run_once(&mut self) -> RoundResult {
        if !self.source.leadership.is_leader() {
            self.fed = false;
            return RoundResult::Done;
        }
        match self.deliver_all().await {
            Ok(round) => round,
            Err(error) => {
                self.state.failed(STORE, &error_chain(&error));
                RoundResult::Failed
            }
        }
    }

    async fn deliver_all(&mut self) -> Result<RoundResult, Unavailable> {
        self.claim_position().await?;
        self.clamp_to_log().await?;
        loop {
            let page = pages::after(&self.source, self.at).await?;
            if page.lines.is_empty() {
                self.next = None;
                self.save_position().await?;
                return Ok(RoundResult::Done);
            }
            if let RoundResult::Failed = self.deliver(&page).await? {
                self.save_position().await?;
                return Ok(RoundResult::Failed);
            }
            if !page.is_full || !self.source.leadership.is_leader() {
                self.next = None;
                self.save_position().await?;
                return Ok(RoundResult::Done);
            }
        }
    }

    /// Reads the saved position if another process may have fed the sink meanwhile.
    async fn claim_position(&mut self) -> Result<(), Unavailable> {
        if !self.fed {
            let positions = self.source.store.register(&self.all).await?;
            let own = self.all.iter().zip(positions).find(|(name, _)| **name == self.named.name);
            if let Some((_, at)) = own {
                (self.at, self.saved) = (at, at);
            }
            self.fed = true;
        }
        Ok(())
    }

    async fn deliver(&mut self, page: &Page) -> Result<RoundResult, Unavailable> {
        let mut taken = 0;
        while let Some(rest) = page.lines.get(taken..).filter(|rest| !rest.is_empty()) {
            self.next = rest.first().map(|line| line.time);
            let Some(count) = self.write_lines(rest).await else { return Ok(RoundResult::Failed) };
            taken += count.clamp(1, rest.len());
            if let Some(reached) = page.positions.get(taken - 1) {
                self.at = *reached;
            }
            if self.saved_at.elapsed() >= self.timing.save_interval {
                self.save_position().await?;
            }
        }
        Ok(RoundResult::Done)
    }

    /// Writes lines to the sink, and updates the gauges while it waits. Returns how many lines it wrote.
    async fn write_lines(&mut self, lines: &[SinkRecord]) -> Option<usize> {
        let sink = std::sync::Arc::clone(&self.named.sink);
        let mut write = sink.write(lines);
        let mut ticks = time::interval_at(Instant::now() + self.timing.every, self.timing.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let written = loop {
            tokio::select! {
                written = &mut write => break written,
                _ = ticks.tick() => self.update_gauges().await,
            }
        };
        match written {
            Ok(count) => {
                self.state.on_success();
                Some(count)
            }
            Err(error) => {
                self.state.failed(error.cause(), &error_chain(&error));
                None
            }
        }
    }

    async fn save_position(&mut self) -> Result<(), Unavailable> {
        if self.at != self.saved {
            let reached = self.source.store.advance(&self.named.name, self.saved, self.at).await;
            // If another process has fed the sink meanwhile, its position counts.
            self.fed = reached.is_ok() || self.source.leadership.is_single_node();
            reached?;
            self.saved = self.at;
        }
        self.saved_at = Instant::now();
        Ok(())
    }

    /// Moves the position back if the log is shorter than what the sink received, as after a restore from an
    /// older copy.
    async fn clamp_to_log(&mut self) -> Result<(), Unavailable> {
        let newest = pages::newest(&self.source).await?;
        if self.at.event > newest {
            tracing::error!(
                sink = &*self.named.name,
                audit.has = self.at.event,
                audit.newest = newest,
                "the audit log is shorter than what a sink received: was the store restored from an older copy?"
            );
            self.at = SinkPosition { event: newest, checkpoint: self.at.checkpoint.min(newest) };
        }
        Ok(())
    }

    async fn update_gauges(&self) {
        if !self.fed {
            // The process that feeds the sink reports how far it is behind.
            return self.state.lag(0, Duration::ZERO);
        }
        // If the store cannot be read, the round reports the failure.
        let Ok(newest) = pages::newest(&self.source).await else { return };
        let behind = newest.saturating_sub(self.at.event);
        let oldest = self.next.filter(|_| behind > 0);
        let by = oldest.map_or(Duration::ZERO, |oldest| self.source.clock.now().since(oldest));
        self.state.lag(behind, by);
    }
}
