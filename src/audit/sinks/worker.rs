//! One sink's task: reads what comes next, gives it, remembers how far that went. A sink that fails is
//! asked again with the same lines; the store is what waits for it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{self, Instant, MissedTickBehavior},
};

use super::{
    EventSource, NamedSink, SinkTiming,
    pages::{self, Page},
    state::State,
};
use crate::{
    domain::{error_chain::error_chain, time::Timestamp},
    ports::{SinkPosition, SinkRecord, Unavailable},
};

/// A cause of failure that is none of the sink's own.
const STORE: &str = "store";

pub(super) struct SinkWorker {
    named: NamedSink,
    /// All sinks of this process.
    all: Arc<[Box<str>]>,
    source: EventSource,
    timing: SinkTiming,
    state: State,
    /// How far the sink is, and how far the store knows that it is.
    at: SinkPosition,
    saved: SinkPosition,
    saved_at: Instant,
    /// When the first event that it does not have happened.
    next: Option<Timestamp>,
    /// Whether this process fed it the last time.
    fed: bool,
}

/// How a round ended.
enum RoundResult {
    /// There is nothing more to give.
    Done,
    /// It is to be tried again later.
    Failed,
}

// === impl Feed ===

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
            // Elapsed or told to stop: look again. Without a teller there is nothing left to do.
            if let Ok(Err(_gone)) = time::timeout(rest, stop.changed()).await {
                return;
            }
        }
    }

    /// Gives the sink whatever it does not have.
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

    /// Where another process fed the sink, it goes on from there.
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
            if let Some(reached) = page.reaches.get(taken - 1) {
                self.at = *reached;
            }
            if self.saved_at.elapsed() >= self.timing.save_interval {
                self.save_position().await?;
            }
        }
        Ok(RoundResult::Done)
    }

    /// Gives the sink lines, and goes on to tell how far it is behind while it does not answer.
    async fn write_lines(&mut self, lines: &[SinkRecord]) -> Option<usize> {
        let sink = std::sync::Arc::clone(&self.named.sink);
        let mut taking = sink.write(lines);
        let mut ticks = time::interval_at(Instant::now() + self.timing.every, self.timing.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let taken = loop {
            tokio::select! {
                taken = &mut taking => break taken,
                _ = ticks.tick() => self.update_gauges().await,
            }
        };
        match taken {
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
            // Another process may have fed it meanwhile: then that one's position counts.
            self.fed = reached.is_ok() || self.source.leadership.is_single_node();
            reached?;
            self.saved = self.at;
        }
        self.saved_at = Instant::now();
        Ok(())
    }

    /// A store that was put back to an older copy is shorter than what the sink has of it.
    async fn clamp_to_log(&mut self) -> Result<(), Unavailable> {
        let newest = pages::newest(&self.source).await?;
        if self.at.event > newest {
            tracing::error!(
                sink = &*self.named.name,
                audit.has = self.at.event,
                audit.newest = newest,
                "the audit log is shorter than what a sink has of it: was the store put back to an older copy?"
            );
            self.at = SinkPosition { event: newest, checkpoint: self.at.checkpoint.min(newest) };
        }
        Ok(())
    }

    async fn update_gauges(&self) {
        if !self.fed {
            // Whoever feeds it tells how far it is behind.
            return self.state.lag(0, Duration::ZERO);
        }
        // Where the store cannot be read, the round says so.
        let Ok(newest) = pages::newest(&self.source).await else { return };
        let behind = newest.saturating_sub(self.at.event);
        let oldest = self.next.filter(|_| behind > 0);
        let by = oldest.map_or(Duration::ZERO, |oldest| self.source.clock.now().since(oldest));
        self.state.lag(behind, by);
    }
}
