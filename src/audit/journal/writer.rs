//! The one writer: takes what is waiting, commits it, answers, and does so again. While the store is at a
//! commit, those before it are answered and the next one is made ready. After an error it begins anew with
//! the store until that is whole, and answers only what it knows.

use std::{error::Error, pin::pin, sync::Arc, task::Poll};

use futures_util::poll;
use tokio::{
    task,
    time::{self, Instant},
};
use uuid::{ContextV7, Uuid};

use super::{
    super::{Config, LeafCache, event, tree},
    queue::{PendingEvent, Queue, QueueBatch},
};
use crate::{
    domain::{
        audit::{AuditOperation, Event, EventId, JournalEntry},
        error_chain::error_chain,
        time::Timestamp,
    },
    ports::{AppendError, Batch, Clock, EventStore},
};

/// Fewer entries than this go into one commit with whatever those who are answered have next: one commit
/// after the other is the least that each of them waits. More are kept in two groups by turns, so that the
/// callers of one go on while the store is at the other.
const SPLIT: usize = 16;

/// About as many bytes as an event has.
const EVENT_OVERHEAD: usize = 1700;

/// Owns the order of events: there is one for each store.
pub(super) struct Writer {
    queue: Arc<Queue>,
    store: Arc<dyn EventStore>,
    tail: Arc<LeafCache>,
    clock: Arc<dyn Clock>,
    config: Config,
    ids: ContextV7,
    /// Known not to be kept, and to be written first.
    left: Vec<PendingEvent>,
    /// Made ready while the store was at another commit.
    ready: Prepared,
    /// Durable, and not yet answered.
    committed: Option<Committed>,
    /// Answered, and their hashes not yet handed over.
    unhashed: Option<(u64, Arc<Batch>)>,
    /// How many events were lost and not yet told of.
    lost: u32,
}

/// What one commit holds.
#[derive(Default)]
struct Prepared {
    batch: Batch,
    entries: Vec<(EventId, PendingEvent)>,
}

/// A commit that was made.
struct Committed {
    batch: Arc<Batch>,
    entries: Vec<(EventId, PendingEvent)>,
    /// The place of its first event in the log, where the store tells it.
    first: Option<u64>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        queue: Arc<Queue>,
        store: Arc<dyn EventStore>,
        tail: Arc<LeafCache>,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Self {
        let ids = ContextV7::new();
        let (left, ready, committed, unhashed, lost) = (Vec::new(), Prepared::default(), None, None, 0);
        Self { queue, store, tail, clock, config, ids, left, ready, committed, unhashed, lost }
    }

    pub(super) async fn run(mut self) {
        loop {
            if self.ready.entries.len() < SPLIT / 2 {
                self.ack_committed();
                self.queue.wait_for_batch(self.config.batch).await;
                let waiting = self.queue.len();
                let max = if waiting < SPLIT { self.config.batch } else { waiting.div_ceil(2) };
                let (found, closed, again) = self.take(max);
                if !found && self.ready.entries.is_empty() {
                    self.publish_leaves();
                    if closed {
                        return;
                    }
                    self.wait_until(again).await;
                    continue;
                }
            }
            let prepared = self.drop_abandoned();
            if !prepared.entries.is_empty() && self.commit(prepared).await.is_err() {
                return;
            }
        }
    }

    /// What was made ready, without what was given up since.
    fn drop_abandoned(&mut self) -> Prepared {
        if self.ready.entries.iter().any(|(_, waiting)| waiting.is_abandoned()) {
            let ready = std::mem::take(&mut self.ready);
            self.prepare(ready.entries.into_iter().map(|(_, waiting)| waiting).collect());
        }
        std::mem::take(&mut self.ready)
    }

    /// Makes ready what is waiting, at most `most` entries. Tells whether there was anything, whether the
    /// queue is closed, and when to look again although nothing came.
    fn take(&mut self, max: usize) -> (bool, bool, Option<Instant>) {
        let QueueBatch { waiting, lost, closed, again } = self.queue.take(max.min(self.config.batch));
        self.lost = self.lost.saturating_add(lost);
        let mut all = std::mem::take(&mut self.left);
        all.extend(waiting);
        if self.lost > 0 {
            all.push(self.dropped_events_entry());
        }
        let found = !all.is_empty();
        self.prepare(all);
        (found, closed, again)
    }

    async fn wait_until(&mut self, until: Option<Instant>) {
        match until {
            None => self.queue.wait_for_work().await,
            // Elapsed or filled: look again.
            Some(until) => drop(time::timeout_at(until, self.queue.wait_for_work()).await),
        }
    }

    fn dropped_events_entry(&mut self) -> PendingEvent {
        let event = Event {
            count: std::mem::take(&mut self.lost),
            detail: Some("events that nobody waited for could not be kept".into()),
            ..Event::for_service(AuditOperation::Lost, self.clock.now())
        };
        PendingEvent { entry: JournalEntry::event_only(event), reply: None }
    }

    /// Numbers the entries and writes them one after the other.
    fn prepare(&mut self, all: Vec<PendingEvent>) {
        let Prepared { mut batch, mut entries } = std::mem::take(&mut self.ready);
        batch.bytes.reserve(all.len() * EVENT_OVERHEAD);
        for waiting in all.into_iter().filter(|waiting| !waiting.is_abandoned()) {
            let id = self.next_id(waiting.entry.event.time);
            match event::write(&waiting.entry.event, id, &mut batch.bytes) {
                Ok(indexed) => batch.events.push(indexed),
                Err(error) => {
                    tracing::error!(error = &error as &dyn Error, "an audit event cannot be written as JSON");
                    waiting.refuse();
                    continue;
                }
            }
            batch.associations.extend(waiting.entry.association.clone());
            batch.observations.extend(waiting.entry.observation.clone());
            batch.requests.extend(waiting.entry.request.clone().map(|step| (id, step)));
            entries.push((id, waiting));
        }
        self.ready = Prepared { batch, entries };
    }

    fn next_id(&self, time: Timestamp) -> EventId {
        let secs = u64::try_from(time.as_secs()).unwrap_or_default();
        let nanos = u32::try_from(time.subsec_nanos()).unwrap_or_default();
        EventId(Uuid::new_v7(uuid::Timestamp::from_unix(&self.ids, secs, nanos)))
    }

    /// Commits, and answers all who wait. Fails only where closing ran out of patience.
    async fn commit(&mut self, prepared: Prepared) -> Result<(), ()> {
        let started = Instant::now();
        let Prepared { batch, entries } = prepared;
        let batch = Arc::new(batch);
        match self.append(&batch).await {
            Ok(first) => {
                metrics::histogram!("logkey_audit_commit_seconds").record(started.elapsed());
                metrics::counter!("logkey_audit_events_total").increment(entries.len() as u64);
                self.committed = Some(Committed { batch, entries, first });
                Ok(())
            }
            Err(AppendError::NotWritten(cause)) => {
                let behind = self.fail(&cause);
                self.requeue_or_fail(entries);
                self.left.extend(behind);
                self.recover(None).await.map(drop)
            }
            Err(AppendError::Indeterminate(cause)) => {
                let behind = self.fail(&cause);
                let first = entries.first().map(|(id, _)| *id);
                match self.recover(first).await {
                    Ok(true) => answer(entries),
                    Ok(false) => self.requeue_or_fail(entries),
                    // Nobody knows: the callers have long been told so by their deadlines.
                    Err(()) => return Err(()),
                }
                self.left.extend(behind);
                Ok(())
            }
        }
    }

    /// Answers those of the last commit.
    fn ack_committed(&mut self) {
        let Some(Committed { batch, entries, first }) = self.committed.take() else { return };
        answer(entries);
        self.unhashed = first.map(|first| (first, batch));
    }

    /// Hands over the leaf hashes of those who are answered: nobody waits for these.
    fn publish_leaves(&mut self) {
        let Some((first, batch)) = self.unhashed.take() else { return };
        self.tail.push(first, batch.events.iter().map(|event| tree::leaf(batch.body(event))).collect());
    }

    /// One commit; a store that does not answer makes the journal unready until it does.
    async fn append(&mut self, batch: &Arc<Batch>) -> Result<Option<u64>, AppendError> {
        let store = Arc::clone(&self.store);
        let mut commit = pin!(store.append(Arc::clone(batch)));
        // The store is at work before anything else is done.
        let started = poll!(&mut commit);
        self.ack_committed();
        self.publish_leaves();
        if let Poll::Ready(done) = started {
            return done;
        }
        if let Ok(done) = time::timeout(self.config.stall, self.prepare_while(&mut commit)).await {
            return done;
        }
        tracing::error!(stall_seconds = self.config.stall.as_secs_f64(), "the store does not answer");
        metrics::counter!("logkey_audit_stalls_total").increment(1);
        self.queue.set_unready(Some("the store does not answer".into()));
        self.refuse_waiting();
        let done = commit.await;
        if done.is_ok() {
            tracing::info!("the store answers again");
            self.queue.set_unready(None);
        }
        done
    }

    /// Waits for a commit, and makes ready what comes meanwhile.
    async fn prepare_while<C: Future + Unpin>(&mut self, mut commit: C) -> C::Output {
        loop {
            let room = self.config.batch.saturating_sub(self.ready.entries.len());
            if room > 0 {
                self.take(room);
            }
            tokio::select! {
                biased;
                done = &mut commit => return done,
                // Whoever can go on at this moment does so before the next look.
                () = async { self.queue.wait_for_work().await; task::yield_now().await }, if room > 0 => {}
            }
        }
    }

    /// Tells of a failure. What stays of that which was to come after it is given back.
    fn fail(&mut self, cause: &(dyn Error + 'static)) -> Vec<PendingEvent> {
        let cause = event::sanitize(&error_chain(cause), 300).into_owned();
        tracing::error!(error = cause, "the audit log cannot be written");
        metrics::counter!("logkey_audit_failures_total").increment(1);
        self.queue.set_unready(Some(cause));
        self.refuse_waiting();
        std::mem::take(&mut self.left)
    }

    /// While nothing can be kept: refuses what need not stay.
    fn refuse_waiting(&mut self) {
        let ready = std::mem::take(&mut self.ready);
        self.requeue_or_fail(ready.entries);
        self.queue.fail_all();
    }

    /// What is known not to be kept: stays to be written, or its caller is told.
    fn requeue_or_fail(&mut self, entries: Vec<(EventId, PendingEvent)>) {
        for (_, waiting) in entries {
            if waiting.is_awaited() { self.left.push(waiting) } else { waiting.refuse() }
        }
    }

    /// Begins anew with the store until that succeeds, and tells whether `doubtful` was kept.
    async fn recover(&mut self, doubtful: Option<EventId>) -> Result<bool, ()> {
        let mut wait = self.config.first_retry;
        let mut give_up = None;
        loop {
            match time::timeout(self.config.stall, self.store.recover(doubtful)).await {
                Ok(Ok(committed)) => {
                    tracing::info!("the audit log can be written again");
                    self.queue.set_unready(None);
                    return Ok(committed);
                }
                Ok(Err(error)) => tracing::warn!(error = error_chain(&error), "the store is not whole yet"),
                Err(_elapsed) => tracing::warn!("the store does not answer"),
            }
            if self.queue.is_closed()
                && Instant::now() >= *give_up.get_or_insert(Instant::now() + self.config.close_within)
            {
                tracing::error!(
                    outcomes = self.left.len(),
                    "closing while the store fails: what is left is not written, and will be settled at the next start"
                );
                return Err(());
            }
            time::sleep(wait).await;
            wait = (wait * 2).min(self.config.max_retry);
        }
    }
}

impl Drop for Writer {
    /// However the writer ends: nothing is taken any more, and nobody is left waiting.
    fn drop(&mut self) {
        self.queue.close();
        self.queue.set_unready(Some("the audit log is closed".into()));
        self.queue.close_with_error();
    }
}

fn answer(entries: Vec<(EventId, PendingEvent)>) {
    for (id, waiting) in entries {
        if let Some(reply) = waiting.reply {
            // Whoever went away finds it in the log.
            drop(reply.send(Ok(id)));
        }
    }
}
