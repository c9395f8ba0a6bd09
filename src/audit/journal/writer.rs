//! The only writer: takes queued entries, commits them and answers their callers, in a loop. While the store
//! works on a commit, it answers the callers of the previous one and prepares the next. After an error it
//! recovers the store, and answers each caller only when it knows whether the entry is durable.

use std::{error::Error, pin::pin, sync::Arc, task::Poll};

use futures_util::poll;
use tlog_tiles::Hash;
use tokio::{
    task,
    time::{self, Instant},
};
use uuid::{ContextV7, Uuid};

use super::queue::{PendingEvent, Queue, QueueBatch};
use crate::{
    audit::{batch_tag::BatchTagger, config::Config, event, leaf_cache::LeafCache, tree},
    domain::{
        audit::{AuditOperation, Event, EventId, JournalEntry},
        error_chain::error_chain,
        time::Timestamp,
    },
    ports::{AppendError, Batch, Clock, EventStore},
};

/// With fewer queued entries than this, one commit takes them all, together with what the answered callers
/// record next: that gives each caller the shortest wait. With more, the writer alternates between two
/// groups, so that the callers of one group continue while the store writes the other.
const SPLIT_THRESHOLD: usize = 16;

/// The approximate size of an event, in bytes.
const EVENT_BYTES: usize = 1700;

/// What a journal works with.
pub(super) struct JournalPorts {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tagger: Arc<BatchTagger>,
}

/// Decides the order of events. There is one writer for each store.
pub(super) struct Writer {
    queue: Arc<Queue>,
    store: Arc<dyn EventStore>,
    leaf_cache: Arc<LeafCache>,
    tagger: Arc<BatchTagger>,
    clock: Arc<dyn Clock>,
    config: Config,
    ids: ContextV7,
    /// The position of the newest event, if the store returns positions and the last commit did not fail.
    position: Option<u64>,
    /// Entries that are known not to be stored. They are written first.
    requeued: Vec<PendingEvent>,
    /// Entries that were prepared while the store worked on another commit.
    ready: CommitBatch,
    /// Durable entries whose callers have no answer yet.
    committed: Option<Committed>,
    /// The answered commit whose leaf hashes are not in the cache yet, with the position of its first event.
    unhashed: Option<(u64, Arc<Batch>)>,
    /// How many lost events have no `Lost` event yet.
    lost: u32,
}

/// The content of one commit.
#[derive(Default)]
struct CommitBatch {
    batch: Batch,
    entries: Vec<(EventId, PendingEvent)>,
}

/// What the writer found in the queue.
struct DrainedQueue {
    /// Whether there were entries.
    found: bool,
    /// Whether the queue is closed.
    closed: bool,
    /// When to look again even if no entry arrives.
    next_due: Option<Instant>,
}

/// A successful commit.
struct Committed {
    batch: Arc<Batch>,
    entries: Vec<(EventId, PendingEvent)>,
    /// The position of its first event in the log, if the store returns it.
    first: Option<u64>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        ports: JournalPorts,
        queue: Arc<Queue>,
        leaf_cache: Arc<LeafCache>,
        config: Config,
    ) -> Self {
        let JournalPorts { store, clock, tagger } = ports;
        Self {
            queue,
            store,
            leaf_cache,
            tagger,
            clock,
            config,
            ids: ContextV7::new(),
            position: None,
            requeued: Vec::new(),
            ready: CommitBatch::default(),
            committed: None,
            unhashed: None,
            lost: 0,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            if self.ready.entries.len() < SPLIT_THRESHOLD / 2 {
                self.ack_committed();
                self.queue.wait_for_batch(self.config.batch).await;
                let waiting = self.queue.len();
                let max = if waiting < SPLIT_THRESHOLD { self.config.batch } else { waiting.div_ceil(2) };
                let DrainedQueue { found, closed, next_due } = self.take(max);
                if !found && self.ready.entries.is_empty() {
                    self.publish_leaves();
                    if closed {
                        return;
                    }
                    self.wait_until(next_due).await;
                    continue;
                }
            }
            let prepared = self.drop_abandoned();
            if !prepared.entries.is_empty() && self.commit(prepared).await.is_err() {
                return;
            }
        }
    }

    /// The prepared entries, without intents whose caller has gone away since.
    fn drop_abandoned(&mut self) -> CommitBatch {
        if self.ready.entries.iter().any(|(_, waiting)| waiting.is_abandoned()) {
            let ready = std::mem::take(&mut self.ready);
            self.prepare(ready.entries.into_iter().map(|(_, waiting)| waiting).collect());
        }
        std::mem::take(&mut self.ready)
    }

    /// Prepares at most `max` queued entries.
    fn take(&mut self, max: usize) -> DrainedQueue {
        let QueueBatch { waiting, lost, closed, next_due } = self.queue.take(max.min(self.config.batch));
        self.lost = self.lost.saturating_add(lost);
        let mut all = std::mem::take(&mut self.requeued);
        all.extend(waiting);
        if self.lost > 0 {
            all.push(self.dropped_events_entry());
        }
        let found = !all.is_empty();
        self.prepare(all);
        DrainedQueue { found, closed, next_due }
    }

    async fn wait_until(&mut self, until: Option<Instant>) {
        match until {
            None => self.queue.wait_for_work().await,
            // After the time has passed or an entry has arrived, the caller takes the next batch.
            Some(until) => drop(time::timeout_at(until, self.queue.wait_for_work()).await),
        }
    }

    fn dropped_events_entry(&mut self) -> PendingEvent {
        let event = Event {
            count: std::mem::take(&mut self.lost),
            detail: Some("events that no call waits for could not be recorded".into()),
            ..Event::for_service(AuditOperation::Lost, self.clock.now())
        };
        PendingEvent { entry: JournalEntry::event_only(event), reply: None }
    }

    /// Gives each entry an id and serializes it into the next batch.
    fn prepare(&mut self, all: Vec<PendingEvent>) {
        let CommitBatch { mut batch, mut entries } = std::mem::take(&mut self.ready);
        batch.bytes.reserve(all.len() * EVENT_BYTES);
        for waiting in all.into_iter().filter(|waiting| !waiting.is_abandoned()) {
            let id = self.next_id(waiting.entry.event.time);
            match event::write(&waiting.entry.event, id, &mut batch.bytes) {
                Ok(indexed) => {
                    batch.leaves.push(tree::leaf(batch.body(&indexed)).0);
                    batch.events.push(indexed);
                }
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
        self.ready = CommitBatch { batch, entries };
    }

    fn next_id(&self, time: Timestamp) -> EventId {
        let secs = u64::try_from(time.as_secs()).unwrap_or_default();
        let nanos = u32::try_from(time.subsec_nanos()).unwrap_or_default();
        EventId(Uuid::new_v7(uuid::Timestamp::from_unix(&self.ids, secs, nanos)))
    }

    /// Commits the prepared entries. Fails only if the time limit for closing has passed.
    async fn commit(&mut self, prepared: CommitBatch) -> Result<(), ()> {
        let started = Instant::now();
        let CommitBatch { mut batch, entries } = prepared;
        batch.tag = self.tagger.tag(self.position, &batch.leaves);
        let batch = Arc::new(batch);
        match self.append(&batch).await {
            Ok(first) => {
                self.position = first.map(|first| first + batch.leaves.len() as u64 - 1);
                metrics::histogram!("logkey_audit_commit_seconds").record(started.elapsed());
                metrics::counter!("logkey_audit_events_total").increment(entries.len() as u64);
                self.committed = Some(Committed { batch, entries, first });
                Ok(())
            }
            Err(AppendError::NotWritten(cause)) => {
                let behind = self.fail(&cause);
                self.requeue_or_refuse(entries);
                self.requeued.extend(behind);
                self.recover(None).await.map(drop)
            }
            Err(AppendError::Indeterminate(cause)) => {
                self.position = None;
                let behind = self.fail(&cause);
                let first = entries.first().map(|(id, _)| *id);
                match self.recover(first).await {
                    Ok(true) => answer(entries),
                    Ok(false) => self.requeue_or_refuse(entries),
                    // The result is unknown. The deadlines of the callers have passed by now.
                    Err(()) => return Err(()),
                }
                self.requeued.extend(behind);
                Ok(())
            }
        }
    }

    /// Answers the callers of the last commit.
    fn ack_committed(&mut self) {
        let Some(Committed { batch, entries, first }) = self.committed.take() else { return };
        answer(entries);
        self.unhashed = first.map(|first| (first, batch));
    }

    /// Adds the leaf hashes of the answered commit to the cache. No caller waits for this.
    fn publish_leaves(&mut self) {
        let Some((first, batch)) = self.unhashed.take() else { return };
        self.leaf_cache.push(first, batch.leaves.iter().copied().map(Hash).collect());
    }

    /// Makes one commit. While the store does not respond, the journal is not ready.
    async fn append(&mut self, batch: &Arc<Batch>) -> Result<Option<u64>, AppendError> {
        let store = Arc::clone(&self.store);
        let mut commit = pin!(store.append(Arc::clone(batch)));
        // Poll once, so that the store starts before the writer does anything else.
        let started = poll!(&mut commit);
        self.ack_committed();
        self.publish_leaves();
        if let Poll::Ready(done) = started {
            return done;
        }
        if let Ok(done) = time::timeout(self.config.stall, self.prepare_while(&mut commit)).await {
            return done;
        }
        tracing::error!(stall_seconds = self.config.stall.as_secs_f64(), "the store does not respond");
        metrics::counter!("logkey_audit_stalls_total").increment(1);
        self.queue.set_unready(Some("the store does not respond".into()));
        self.refuse_optional();
        let done = commit.await;
        if done.is_ok() {
            tracing::info!("the store responds again");
            self.queue.set_unready(None);
        }
        done
    }

    /// Waits for a commit, and prepares the entries that arrive meanwhile.
    async fn prepare_while<C: Future + Unpin>(&mut self, mut commit: C) -> C::Output {
        loop {
            let room = self.config.batch.saturating_sub(self.ready.entries.len());
            if room > 0 {
                self.take(room);
            }
            tokio::select! {
                biased;
                done = &mut commit => return done,
                // Other tasks that are ready run before the next batch is taken.
                () = async { self.queue.wait_for_work().await; task::yield_now().await }, if room > 0 => {}
            }
        }
    }

    /// Reports a failed commit and refuses the entries that need not be written. Returns the entries behind
    /// the failed commit that must be written.
    fn fail(&mut self, cause: &(dyn Error + 'static)) -> Vec<PendingEvent> {
        let cause = event::sanitize(&error_chain(cause), 300).into_owned();
        tracing::error!(error = cause, "the audit log cannot be written");
        metrics::counter!("logkey_audit_failures_total").increment(1);
        self.queue.set_unready(Some(cause));
        self.refuse_optional();
        std::mem::take(&mut self.requeued)
    }

    /// Refuses the prepared and queued entries that need not be written, because the store fails.
    fn refuse_optional(&mut self) {
        let ready = std::mem::take(&mut self.ready);
        self.requeue_or_refuse(ready.entries);
        self.queue.refuse_optional();
    }

    /// Handles entries that are known not to be stored: requeues those that must be written, and refuses the
    /// others.
    fn requeue_or_refuse(&mut self, entries: Vec<(EventId, PendingEvent)>) {
        for (_, waiting) in entries {
            if waiting.must_be_written() { self.requeued.push(waiting) } else { waiting.refuse() }
        }
    }

    /// Recovers the store, with retries until that succeeds. Returns whether the event `doubtful` was stored.
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
                Ok(Err(error)) => {
                    tracing::warn!(error = error_chain(&error), "the store has not recovered yet");
                }
                Err(_elapsed) => tracing::warn!("the store does not respond"),
            }
            metrics::counter!("logkey_audit_failures_total").increment(1);
            if self.queue.is_closed()
                && Instant::now() >= *give_up.get_or_insert(Instant::now() + self.config.close_within)
            {
                tracing::error!(
                    outcomes = self.requeued.len(),
                    "closing while the store fails: the remaining outcomes are not written; the next start reconciles their intents"
                );
                return Err(());
            }
            time::sleep(wait).await;
            wait = (wait * 2).min(self.config.max_retry);
        }
    }
}

impl Drop for Writer {
    /// Closes the queue and refuses what is in it, even if the writer panicked.
    fn drop(&mut self) {
        self.queue.close();
        self.queue.set_unready(Some("the audit log is closed".into()));
        self.queue.refuse_all();
    }
}

fn answer(entries: Vec<(EventId, PendingEvent)>) {
    for (id, waiting) in entries {
        if let Some(reply) = waiting.reply {
            // The send fails only if the caller has gone away; the event is in the log nevertheless.
            drop(reply.send(Ok(id)));
        }
    }
}
