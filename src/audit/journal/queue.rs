//! The queue in front of the writer. Pushing never waits: it queues the entry or refuses it at once.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    task,
    time::Instant,
};

use crate::{
    audit::{config::Config, refusal_dedup::RefusalDedup},
    domain::audit::{Event, EventId, JournalEntry, Kind},
    ports::AuditUnavailable,
};

/// Sends the result of an entry to its caller.
pub(super) type Reply = oneshot::Sender<Result<EventId, AuditUnavailable>>;

/// A queued entry.
#[derive(Debug)]
pub(super) struct PendingEvent {
    pub(super) entry: JournalEntry,
    /// None if no caller waits for the result.
    pub(super) reply: Option<Reply>,
}

/// Shared by the callers and the writer.
#[derive(Debug)]
pub(super) struct Queue {
    config: Config,
    inner: Mutex<Inner>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<PendingEvent>,
    notes: usize,
    refusals: RefusalDedup,
    lost: u32,
    /// Why no entry can be written now.
    unready: Option<String>,
    closed: bool,
}

/// What the writer takes from the queue at once.
#[derive(Debug)]
pub(super) struct QueueBatch {
    pub(super) waiting: Vec<PendingEvent>,
    /// How many events found no room in the queue since the last batch.
    pub(super) lost: u32,
    pub(super) closed: bool,
    /// When to take the next batch even if no entry arrives.
    pub(super) next_due: Option<Instant>,
}

// === impl PendingEvent ===

impl PendingEvent {
    /// Whether the entry stays queued until it is written, even while the store fails. That holds for
    /// outcomes, because AWS has already answered, and for events without a caller who could retry.
    pub(super) fn must_be_written(&self) -> bool {
        self.entry.event.kind == Kind::Outcome || self.reply.is_none()
    }

    /// Whether the entry is an intent whose caller has gone away. It is dropped, because nothing was sent yet
    /// and nothing will be.
    pub(super) fn is_abandoned(&self) -> bool {
        let gone = self.reply.as_ref().is_some_and(oneshot::Sender::is_closed);
        gone && self.entry.event.kind == Kind::Intent
    }

    pub(super) fn refuse(self) {
        if let Some(reply) = self.reply {
            // The send fails only if the caller has gone away.
            drop(reply.send(Err(AuditUnavailable(None))));
        }
    }
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(config: Config) -> Self {
        Self { config, inner: Mutex::default(), filled: Notify::new() }
    }

    /// Queues an entry or refuses it. Outcomes are accepted even beyond the bound: there is at most one for
    /// each intent that was accepted.
    pub(super) fn push(&self, waiting: PendingEvent) -> Result<(), AuditUnavailable> {
        let mut inner = self.inner.lock();
        if !waiting.must_be_written() && (inner.unready.is_some() || inner.waiting.len() >= self.config.queue)
        {
            return Err(AuditUnavailable(inner.unready.clone().map(Into::into)));
        }
        if inner.closed {
            return Err(AuditUnavailable(Some("the audit log is closed".into())));
        }
        inner.waiting.push_back(waiting);
        drop(inner);
        self.filled.notify_one();
        Ok(())
    }

    /// Queues an event that no caller waits for, or counts it as lost.
    pub(super) fn note(&self, event: Event) {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let begins = inner.refusals.expires_at().is_none();
        let event = match event.kind {
            Kind::Refusal => inner.refusals.admit(event, &self.config, now),
            Kind::Intent
            | Kind::Outcome
            | Kind::Reconciled(_)
            | Kind::Read
            | Kind::Lifecycle
            | Kind::Finding => Some(event),
        };
        // A refusal that is only counted is no work for the writer, which waits for the end of the window.
        let counted_only = event.is_none() && !begins && !inner.closed;
        if let Some(event) = event {
            inner.enqueue_note(event, self.config.notes);
        }
        drop(inner);
        if !counted_only {
            self.filled.notify_one();
        }
    }

    pub(super) fn unready(&self) -> Option<String> {
        self.inner.lock().unready.clone()
    }

    /// Sets why no entry can be written; none if entries can be written.
    pub(super) fn set_unready(&self, reason: Option<String>) {
        self.inner.lock().unready = reason;
    }

    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.filled.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// Refuses all queued entries because there is no writer any more.
    pub(super) fn refuse_all(&self) {
        let all = std::mem::take(&mut self.inner.lock().waiting);
        all.into_iter().for_each(PendingEvent::refuse);
    }

    /// Waits until there may be a new entry.
    pub(super) async fn wait_for_work(&self) {
        self.filled.notified().await;
    }

    /// Lets other tasks that are ready run first, as long as they add entries, up to `max` entries. Their
    /// entries then go into the same commit. If no task is ready, this costs nothing.
    pub(super) async fn wait_for_batch(&self, max: usize) {
        let mut before = self.inner.lock().waiting.len();
        while before < max {
            task::yield_now().await;
            let now = self.inner.lock().waiting.len();
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// The number of queued entries.
    pub(super) fn len(&self) -> usize {
        self.inner.lock().waiting.len()
    }

    /// Takes at most `max` entries. Adds the counted refusals first if their window has ended.
    pub(super) fn take(&self, max: usize) -> QueueBatch {
        let mut inner = self.inner.lock();
        let due = inner.refusals.expires_at().is_some_and(|ends| ends <= Instant::now());
        if due || inner.closed {
            for event in inner.refusals.take_summaries() {
                inner.enqueue_note(event, usize::MAX);
            }
        }
        let count = inner.waiting.len().min(max);
        let waiting: Vec<PendingEvent> = inner.waiting.drain(..count).collect();
        inner.notes -= waiting.iter().filter(|waiting| waiting.reply.is_none()).count().min(inner.notes);
        QueueBatch {
            waiting,
            lost: std::mem::take(&mut inner.lost),
            closed: inner.closed,
            next_due: inner.refusals.expires_at(),
        }
    }

    /// Refuses the queued entries that need not be written, because the store fails.
    pub(super) fn refuse_optional(&self) {
        let mut inner = self.inner.lock();
        let all = std::mem::take(&mut inner.waiting);
        let (required, optional): (VecDeque<_>, VecDeque<_>) =
            all.into_iter().partition(PendingEvent::must_be_written);
        inner.waiting = required;
        drop(inner);
        optional.into_iter().for_each(PendingEvent::refuse);
    }
}

// === impl Inner ===

impl Inner {
    fn enqueue_note(&mut self, event: Event, max: usize) {
        if self.notes >= max || self.closed && max != usize::MAX {
            self.lost = self.lost.saturating_add(event.count);
            metrics::counter!("logkey_audit_events_lost_total").increment(u64::from(event.count));
        } else {
            self.notes += 1;
            self.waiting.push_back(PendingEvent { entry: JournalEntry::event_only(event), reply: None });
        }
    }
}
