//! The one writer: takes what is waiting, commits it, answers, and does so again. After an error it
//! begins anew with the store until that is whole, and answers only what it knows.

use std::{error::Error, pin::pin, sync::Arc};

use tokio::time::{self, Instant};
use uuid::{ContextV7, Uuid};

use super::{
    super::{Config, Tail, event, tree},
    queue::{Queue, Taken, Waiting},
};
use crate::{
    domain::{
        audit::{Act, Entry, Event, EventId},
        chain::chain,
        time::Timestamp,
    },
    ports::{AppendError, Batch, Clock, EventStore},
};

/// Owns the order of events: there is one for each store.
pub(super) struct Writer {
    queue: Arc<Queue>,
    store: Arc<dyn EventStore>,
    tail: Arc<Tail>,
    clock: Arc<dyn Clock>,
    config: Config,
    ids: ContextV7,
    /// Known not to be kept, and to be written first.
    left: Vec<Waiting>,
    /// How many events were lost and not yet told of.
    lost: u32,
}

/// What one commit holds, beside the batch itself.
struct Prepared {
    batch: Arc<Batch>,
    entries: Vec<(EventId, Waiting)>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        queue: Arc<Queue>,
        store: Arc<dyn EventStore>,
        tail: Arc<Tail>,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Self {
        Self { queue, store, tail, clock, config, ids: ContextV7::new(), left: Vec::new(), lost: 0 }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.queue.gathered(self.config.batch).await;
            let Taken { waiting, lost, closed, again } = self.queue.take(self.config.batch);
            self.lost = self.lost.saturating_add(lost);
            let mut all = std::mem::take(&mut self.left);
            all.extend(waiting);
            if self.lost > 0 {
                all.push(self.lost_note());
            }
            if all.is_empty() {
                if closed {
                    return;
                }
                self.rest(again).await;
                continue;
            }
            let prepared = self.prepare(all);
            if !prepared.entries.is_empty() && self.keep(prepared).await.is_err() {
                return;
            }
        }
    }

    async fn rest(&mut self, until: Option<Instant>) {
        match until {
            None => self.queue.filled().await,
            // Elapsed or filled: look again.
            Some(until) => drop(time::timeout_at(until, self.queue.filled()).await),
        }
    }

    fn lost_note(&mut self) -> Waiting {
        let event = Event {
            count: std::mem::take(&mut self.lost),
            detail: Some("events that nobody waited for could not be kept".into()),
            ..Event::of_service(Act::Lost, self.clock.now())
        };
        Waiting { entry: Entry::only(event), reply: None }
    }

    /// Numbers the entries and writes them one after the other.
    fn prepare(&self, all: Vec<Waiting>) -> Prepared {
        let mut batch = Batch::default();
        let mut entries = Vec::with_capacity(all.len());
        for waiting in all.into_iter().filter(|waiting| !waiting.is_given_up()) {
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
            batch.sightings.extend(waiting.entry.sighting.clone());
            batch.requests.extend(waiting.entry.request.clone().map(|step| (id, step)));
            entries.push((id, waiting));
        }
        Prepared { batch: Arc::new(batch), entries }
    }

    fn next_id(&self, time: Timestamp) -> EventId {
        let secs = u64::try_from(time.as_secs()).unwrap_or_default();
        let nanos = u32::try_from(time.subsec_nanos()).unwrap_or_default();
        EventId(Uuid::new_v7(uuid::Timestamp::from_unix(&self.ids, secs, nanos)))
    }

    /// Commits, and answers all who wait. Fails only where closing ran out of patience.
    async fn keep(&mut self, prepared: Prepared) -> Result<(), ()> {
        let began = Instant::now();
        let Prepared { batch, entries } = prepared;
        match self.append(&batch).await {
            Ok(first) => {
                metrics::histogram!("logkey_audit_commit_seconds").record(began.elapsed());
                metrics::counter!("logkey_audit_events_total").increment(entries.len() as u64);
                answer(entries);
                if let Some(first) = first {
                    let leaves = batch.events.iter().map(|event| tree::leaf(batch.body(event)));
                    self.tail.push(first, leaves);
                }
                Ok(())
            }
            Err(AppendError::NotKept(cause)) => {
                self.fail(&cause);
                self.set_aside(entries);
                self.recover(None).await.map(drop)
            }
            Err(AppendError::Doubtful(cause)) => {
                self.fail(&cause);
                let first = entries.first().map(|(id, _)| *id);
                match self.recover(first).await {
                    Ok(true) => answer(entries),
                    Ok(false) => self.set_aside(entries),
                    // Nobody knows: the callers have long been told so by their deadlines.
                    Err(()) => return Err(()),
                }
                Ok(())
            }
        }
    }

    /// One commit; a store that does not answer makes the journal unready until it does.
    async fn append(&mut self, batch: &Arc<Batch>) -> Result<Option<u64>, AppendError> {
        let mut commit = pin!(self.store.append(Arc::clone(batch)));
        if let Ok(done) = time::timeout(self.config.stall, &mut commit).await {
            return done;
        }
        tracing::error!(stall_seconds = self.config.stall.as_secs_f64(), "the store does not answer");
        metrics::counter!("logkey_audit_stalls_total").increment(1);
        self.queue.set_unready(Some("the store does not answer".into()));
        self.queue.refuse_waiting();
        let done = commit.await;
        if done.is_ok() {
            tracing::info!("the store answers again");
            self.queue.set_unready(None);
        }
        done
    }

    fn fail(&self, cause: &(dyn Error + 'static)) {
        let cause = event::plain(&chain(cause), 300).into_owned();
        tracing::error!(error = cause, "the audit log cannot be written");
        metrics::counter!("logkey_audit_failures_total").increment(1);
        self.queue.set_unready(Some(cause));
        self.queue.refuse_waiting();
    }

    /// What is known not to be kept: stays to be written, or its caller is told.
    fn set_aside(&mut self, entries: Vec<(EventId, Waiting)>) {
        for (_, waiting) in entries {
            if waiting.stays() { self.left.push(waiting) } else { waiting.refuse() }
        }
    }

    /// Begins anew with the store until that succeeds, and tells whether `doubtful` was kept.
    async fn recover(&mut self, doubtful: Option<EventId>) -> Result<bool, ()> {
        let mut wait = self.config.first_retry;
        let mut give_up = None;
        loop {
            match time::timeout(self.config.stall, self.store.recover(doubtful)).await {
                Ok(Ok(kept)) => {
                    tracing::info!("the audit log can be written again");
                    self.queue.set_unready(None);
                    return Ok(kept);
                }
                Ok(Err(error)) => tracing::warn!(error = chain(&error), "the store is not whole yet"),
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
            wait = (wait * 2).min(self.config.longest_retry);
        }
    }
}

impl Drop for Writer {
    /// However the writer ends: nothing is taken any more, and nobody is left waiting.
    fn drop(&mut self) {
        self.queue.close();
        self.queue.set_unready(Some("the audit log is closed".into()));
        self.queue.abandon();
    }
}

fn answer(entries: Vec<(EventId, Waiting)>) {
    for (id, waiting) in entries {
        if let Some(reply) = waiting.reply {
            // Whoever went away finds it in the log.
            drop(reply.send(Ok(id)));
        }
    }
}
