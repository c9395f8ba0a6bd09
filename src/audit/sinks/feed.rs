//! One sink's task: reads what comes next, gives it, remembers how far that went. A sink that fails is
//! asked again with the same lines; the store is what waits for it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{self, Instant, MissedTickBehavior},
};

use super::{
    Named, Pace, Source,
    pages::{self, Page},
    state::State,
};
use crate::{
    domain::{chain::chain, time::Timestamp},
    ports::{Line, SinkPosition, Unavailable},
};

/// A cause of failure that is none of the sink's own.
const STORE: &str = "store";

pub(super) struct Feed {
    named: Named,
    /// All sinks of this process.
    all: Arc<[Box<str>]>,
    source: Source,
    pace: Pace,
    state: State,
    /// How far the sink is, and how far the store knows that it is.
    at: SinkPosition,
    remembered: SinkPosition,
    remembered_at: Instant,
    /// When the first event that it does not have happened.
    next: Option<Timestamp>,
    /// Whether this process fed it the last time.
    fed: bool,
}

/// How a round ended.
enum Round {
    /// There is nothing more to give.
    Done,
    /// It is to be tried again later.
    Failed,
}

// === impl Feed ===

impl Feed {
    pub(super) fn new(
        named: Named,
        all: Arc<[Box<str>]>,
        at: SinkPosition,
        source: Source,
        pace: Pace,
    ) -> Self {
        let (state, fed) = (State::new(named.name.clone()), source.leadership.leads());
        let (remembered, remembered_at) = (at, Instant::now());
        Self { named, all, source, pace, state, at, remembered, remembered_at, next: None, fed }
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut wait = self.pace.first_retry;
        loop {
            let last = *stop.borrow_and_update();
            let rest = match self.round().await {
                Round::Done => {
                    wait = self.pace.first_retry;
                    self.pace.every
                }
                Round::Failed => {
                    let rest = wait;
                    wait = (wait * 2).min(self.pace.longest_retry);
                    rest
                }
            };
            self.measure().await;
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
    async fn round(&mut self) -> Round {
        if !self.source.leadership.leads() {
            self.fed = false;
            return Round::Done;
        }
        match self.give_all().await {
            Ok(round) => round,
            Err(error) => {
                self.state.failed(STORE, &chain(&error));
                Round::Failed
            }
        }
    }

    async fn give_all(&mut self) -> Result<Round, Unavailable> {
        self.take_over().await?;
        self.stay_within_the_log().await?;
        loop {
            let page = pages::after(&self.source, self.at).await?;
            if page.lines.is_empty() {
                self.next = None;
                self.remember().await?;
                return Ok(Round::Done);
            }
            if let Round::Failed = self.give(&page).await? {
                self.remember().await?;
                return Ok(Round::Failed);
            }
            if !page.is_full || !self.source.leadership.leads() {
                self.next = None;
                self.remember().await?;
                return Ok(Round::Done);
            }
        }
    }

    /// Where another process fed the sink, it goes on from there.
    async fn take_over(&mut self) -> Result<(), Unavailable> {
        if !self.fed {
            let positions = self.source.store.enlist(&self.all).await?;
            let own = self.all.iter().zip(positions).find(|(name, _)| **name == self.named.name);
            if let Some((_, at)) = own {
                (self.at, self.remembered) = (at, at);
            }
            self.fed = true;
        }
        Ok(())
    }

    async fn give(&mut self, page: &Page) -> Result<Round, Unavailable> {
        let mut taken = 0;
        while let Some(rest) = page.lines.get(taken..).filter(|rest| !rest.is_empty()) {
            self.next = rest.first().map(|line| line.time);
            let Some(count) = self.take(rest).await else { return Ok(Round::Failed) };
            taken += count.clamp(1, rest.len());
            if let Some(reached) = page.reaches.get(taken - 1) {
                self.at = *reached;
            }
            if self.remembered_at.elapsed() >= self.pace.remember_every {
                self.remember().await?;
            }
        }
        Ok(Round::Done)
    }

    /// Gives the sink lines, and goes on to tell how far it is behind while it does not answer.
    async fn take(&mut self, lines: &[Line]) -> Option<usize> {
        let sink = std::sync::Arc::clone(&self.named.sink);
        let mut taking = sink.take(lines);
        let mut ticks = time::interval_at(Instant::now() + self.pace.every, self.pace.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let taken = loop {
            tokio::select! {
                taken = &mut taking => break taken,
                _ = ticks.tick() => self.measure().await,
            }
        };
        match taken {
            Ok(count) => {
                self.state.took();
                Some(count)
            }
            Err(error) => {
                self.state.failed(error.cause(), &chain(&error));
                None
            }
        }
    }

    async fn remember(&mut self) -> Result<(), Unavailable> {
        if self.at != self.remembered {
            let reached = self.source.store.reached(&self.named.name, self.remembered, self.at).await;
            // Another process may have fed it meanwhile: then that one's position counts.
            self.fed = reached.is_ok() || self.source.leadership.is_alone();
            reached?;
            self.remembered = self.at;
        }
        self.remembered_at = Instant::now();
        Ok(())
    }

    /// A store that was put back to an older copy is shorter than what the sink has of it.
    async fn stay_within_the_log(&mut self) -> Result<(), Unavailable> {
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

    async fn measure(&self) {
        if !self.fed {
            // Whoever feeds it tells how far it is behind.
            return self.state.behind(0, Duration::ZERO);
        }
        // Where the store cannot be read, the round says so.
        let Ok(newest) = pages::newest(&self.source).await else { return };
        let behind = newest.saturating_sub(self.at.event);
        let oldest = self.next.filter(|_| behind > 0);
        let by = oldest.map_or(Duration::ZERO, |oldest| self.source.clock.now().since(oldest));
        self.state.behind(behind, by);
    }
}
