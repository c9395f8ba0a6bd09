//! Works on one claimed location of a job: plans it, then changes its items with as many calls in flight as the
//! quota needs.

use std::{collections::VecDeque, future::Future, sync::Arc, time::Duration};

use tokio::task::{JoinError, JoinSet};
use tracing::Instrument as _;

use super::{
    item,
    item_run::ItemRun,
    recovery,
    task::{ClaimLost, LocationTask},
};
use crate::{
    domain::fleet::{Item, ItemEnd, ItemState, JobState, LocationPhase},
    ports::{
        bulk::{QueueStep, StepOutcome},
        limit::{Operation, QuotaKey},
    },
};

/// The number of items that are read from the queue at once.
const PAGE: u32 = 200;
/// The largest number of items that are claimed at once. Their keys are read back with one call.
const MAX_BATCH: usize = 10;
/// The wait before items that returned to the queue are tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The longest such wait.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The queue of one location, while its items are changed.
///
/// Each item is a task. It holds connections of the store for a moment, so it must not stand still while the
/// location waits for one.
struct Progress {
    task: Arc<LocationTask>,
    /// The next items to claim.
    queue: VecDeque<Item>,
    /// The number of the first item that was not read yet.
    next: u32,
    /// Whether items returned to the queue.
    returned: Option<Duration>,
    flying: JoinSet<Option<ItemRun>>,
    /// The items that another worker left running.
    recovering: JoinSet<Option<ItemRun>>,
    ended: Vec<ItemEnd>,
}

// === impl LocationTask ===

impl LocationTask {
    /// Works until nothing is left to do, the job stops, or the claim is lost.
    pub(super) async fn run(self) {
        let (engine, worker, key) = (Arc::clone(&self.engine), Arc::clone(&self.worker), self.key);
        if self.work().await.is_err() {
            // The store may have failed, and the claim may still be valid.
            tokio::time::sleep(RETRY_AFTER).await;
        }
        while let Err(error) = engine.fleet.ports.queue.release(worker.id, key).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a claim cannot be given up; retrying");
            if engine.stopping.is_cancelled() {
                // The claim ends with the process.
                return;
            }
            tokio::time::sleep(MAX_RETRY_AFTER).await;
        }
        engine.fleet.changed.notify_one();
    }

    async fn work(mut self) -> Result<(), ClaimLost> {
        let running =
            if self.location.counts.running > 0 { recovery::left_running(&self).await? } else { Vec::new() };
        if self.location.phase == LocationPhase::ToPlan && !self.is_stopped_for(JobState::Planning) {
            self.plan().await?;
            // The dispatcher may start the job now.
            self.engine.fleet.changed.notify_one();
        }
        let mut progress = Progress {
            task: Arc::new(self),
            queue: VecDeque::new(),
            next: 0,
            returned: None,
            flying: JoinSet::new(),
            recovering: JoinSet::new(),
            ended: Vec::new(),
        };
        // The waiting items do not wait for the decisions about these.
        for item in running {
            spawn(&mut progress.recovering, recovery::recover(Arc::clone(&progress.task), item));
        }
        progress.run().await
    }

    /// The number of items to claim at once. Enough for a second, so that a pause takes effect quickly.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and MAX_BATCH")]
    fn batch(&self) -> usize {
        let operation = Operation::AssociateKmsKey;
        let quota_key = QuotaKey { location: self.location.location.clone(), operation };
        let rate = self.engine.state.ports.limiter.rate(&quota_key).ceil();
        if self.run.job.status.canary_pending { 1 } else { (rate as usize).clamp(1, MAX_BATCH) }
    }
}

// === impl Progress ===

impl Progress {
    async fn run(&mut self) -> Result<(), ClaimLost> {
        let batch = self.task.batch();
        loop {
            if self.flying.len() <= batch && !self.task.is_stopped() {
                self.refill().await?;
            }
            if self.flying.is_empty() {
                self.flush().await?;
                let wait = self.returned.take().filter(|_| !self.task.is_stopped());
                if wait.is_none() && self.recovering.is_empty() {
                    return Ok(());
                }
                // Everything else is done; the items that returned are the only ones left.
                let waited = async {
                    match wait {
                        Some(wait) => self.task.run.wait_while_running(wait).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = waited => (self.next, self.queue) = (0, VecDeque::new()),
                    Some(done) = self.recovering.join_next() => {
                        self.returned = wait;
                        self.record(decided(done)).await?;
                    }
                }
                continue;
            }
            let done = tokio::select! {
                Some(done) = self.flying.join_next() => done,
                Some(done) = self.recovering.join_next() => done,
            };
            self.record(decided(done)).await?;
        }
    }

    /// Claims the next items and starts their changes.
    async fn refill(&mut self) -> Result<(), ClaimLost> {
        if self.queue.is_empty() {
            self.read_ahead().await?;
        }
        let batch: Vec<Item> = self.queue.drain(..self.task.batch().min(self.queue.len())).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let claim = batch.iter().map(|item| item.key.seq).collect();
        let step = QueueStep { at: self.task.key, ended: std::mem::take(&mut self.ended), claim };
        match self.task.worker.advance(step).await {
            StepOutcome::Done => {}
            StepOutcome::ClaimLost => return Err(ClaimLost),
            StepOutcome::NotClaimed => {
                // The job stops, or its canary has no room until an item ends.
                self.returned = Some(RETRY_AFTER);
                self.queue.clear();
                return Ok(());
            }
        }
        let claimed = batch.into_iter().map(|item| Item { attempts: item.attempts + 1, ..item }).collect();
        for run in item::start(&self.task, claimed).await {
            match run {
                item::Started::Ended(done) => self.record(Some(done)).await?,
                item::Started::Running(change) => spawn(&mut self.flying, change),
            }
        }
        Ok(())
    }

    async fn read_ahead(&mut self) -> Result<(), ClaimLost> {
        let queue = &self.task.engine.fleet.ports.queue;
        match queue.queued(self.task.key, ItemState::Waiting, self.next, PAGE).await {
            Ok(items) => {
                if let Some(last) = items.last() {
                    self.next = last.key.seq + 1;
                }
                self.queue = items.into();
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "bulk items cannot be read; retrying"
                );
                self.returned = Some(MAX_RETRY_AFTER);
            }
        }
        Ok(())
    }

    /// Records the end of an item. A failure is stored at once, so that the job can pause. An item that nobody
    /// decided about stays running, and the next worker decides.
    async fn record(&mut self, done: Option<ItemRun>) -> Result<(), ClaimLost> {
        let Some(ItemRun { end, retry_after }) = done else { return Ok(()) };
        if end.state == ItemState::Waiting {
            let wait = retry_after.clamp(RETRY_AFTER, MAX_RETRY_AFTER);
            self.returned = Some(self.returned.map_or(wait, |other| other.max(wait)));
        }
        let is_urgent = matches!(end.state, ItemState::Failed | ItemState::Unknown)
            || self.task.run.job.status.canary_pending;
        self.ended.push(end);
        if is_urgent { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), ClaimLost> {
        self.task.store(std::mem::take(&mut self.ended)).await
    }
}

fn spawn(tasks: &mut JoinSet<Option<ItemRun>>, run: impl Future<Output = Option<ItemRun>> + Send + 'static) {
    tasks.spawn(run.in_current_span());
}

/// What became of an item. After a panic nobody knows, and the next worker decides.
fn decided(done: Result<Option<ItemRun>, JoinError>) -> Option<ItemRun> {
    done.inspect_err(|error| tracing::error!(error = error as &dyn std::error::Error, "a bulk item panicked"))
        .ok()
        .flatten()
}
