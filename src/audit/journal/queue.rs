//! What waits for the writer. Pushing never waits: an entry is in, or its caller is told at once.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, oneshot},
    task,
    time::Instant,
};

use super::super::{Config, refusal_dedup::RefusalDedup};
use crate::{
    domain::audit::{Event, EventId, JournalEntry, Kind},
    ports::AuditUnavailable,
};

/// Where the answer to an entry goes.
pub(super) type Reply = oneshot::Sender<Result<EventId, AuditUnavailable>>;

/// An entry, and who waits for it.
#[derive(Debug)]
pub(super) struct PendingEvent {
    pub(super) entry: JournalEntry,
    /// None where nobody waits.
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
    flood: RefusalDedup,
    lost: u32,
    /// Why nothing can be kept now.
    unready: Option<String>,
    closed: bool,
}

/// What the writer finds when it looks.
#[derive(Debug)]
pub(super) struct QueueBatch {
    pub(super) waiting: Vec<PendingEvent>,
    /// Events that could not even be queued since the last look.
    pub(super) lost: u32,
    pub(super) closed: bool,
    /// When to look again although nothing came.
    pub(super) again: Option<Instant>,
}

// === impl Waiting ===

impl PendingEvent {
    /// Whether it stays until it is written: what AWS has done already, and what nobody waits for.
    pub(super) fn is_awaited(&self) -> bool {
        self.entry.event.kind == Kind::Outcome || self.reply.is_none()
    }

    /// Whether nobody would learn that it was written, and nothing happened yet: to be dropped.
    pub(super) fn is_abandoned(&self) -> bool {
        let gone = self.reply.as_ref().is_some_and(oneshot::Sender::is_closed);
        gone && self.entry.event.kind == Kind::Intent
    }

    pub(super) fn refuse(self) {
        if let Some(reply) = self.reply {
            // Whoever went away needs no answer.
            drop(reply.send(Err(AuditUnavailable(None))));
        }
    }
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(config: Config) -> Self {
        Self { config, inner: Mutex::default(), filled: Notify::new() }
    }

    /// Queues an entry, or tells that it will not be kept. What AWS has done already is always taken:
    /// there is at most one such entry for each intent that was.
    pub(super) fn push(&self, waiting: PendingEvent) -> Result<(), AuditUnavailable> {
        let mut inner = self.lock();
        if !waiting.is_awaited() && (inner.unready.is_some() || inner.waiting.len() >= self.config.queue) {
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

    /// Queues an event that nobody waits for, or counts it.
    pub(super) fn note(&self, event: Event) {
        let now = Instant::now();
        let mut inner = self.lock();
        let begins = inner.flood.expires_at().is_none();
        let event = match event.kind {
            Kind::Refusal => inner.flood.admit(event, &self.config, now),
            Kind::Intent | Kind::Outcome | Kind::Reconciled(_) | Kind::Read | Kind::Lifecycle => Some(event),
        };
        // One more of many that are counted gives the writer nothing to do: it waits for the window's end.
        let idle = event.is_none() && !begins && !inner.closed;
        if let Some(event) = event {
            inner.enqueue_note(event, self.config.notes);
        }
        drop(inner);
        if !idle {
            self.filled.notify_one();
        }
    }

    pub(super) fn unready(&self) -> Option<String> {
        self.lock().unready.clone()
    }

    /// Says why nothing can be kept, or that it can be again.
    pub(super) fn set_unready(&self, reason: Option<String>) {
        self.lock().unready = reason;
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Lets go of everything: there is no writer any more.
    pub(super) fn close_with_error(&self) {
        let all = std::mem::take(&mut self.lock().waiting);
        all.into_iter().for_each(PendingEvent::refuse);
    }

    /// Waits until there may be something new.
    pub(super) async fn wait_for_work(&self) {
        self.filled.notified().await;
    }

    /// Lets whoever can go on at this moment do so first, for as long as that brings more, up to `most`
    /// entries: what they have to record goes into the same commit. Where nobody can, this costs nothing.
    pub(super) async fn wait_for_batch(&self, max: usize) {
        let mut before = self.lock().waiting.len();
        while before < max {
            task::yield_now().await;
            let now = self.lock().waiting.len();
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// How many entries wait.
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// What is waiting, at most `most` entries.
    pub(super) fn take(&self, max: usize) -> QueueBatch {
        let mut inner = self.lock();
        let due = inner.flood.expires_at().is_some_and(|ends| ends <= Instant::now());
        if due || inner.closed {
            for event in inner.flood.take_summaries() {
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
            again: inner.flood.expires_at(),
        }
    }

    /// While nothing can be kept: refuses what need not stay.
    pub(super) fn fail_all(&self) {
        let mut inner = self.lock();
        let all = std::mem::take(&mut inner.waiting);
        let (stays, goes): (VecDeque<_>, VecDeque<_>) = all.into_iter().partition(PendingEvent::is_awaited);
        inner.waiting = stays;
        drop(inner);
        goes.into_iter().for_each(PendingEvent::refuse);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under the lock leaves it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
