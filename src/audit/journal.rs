//! The only way to append to the log: a bounded queue in front of one writer. The writer commits whatever is
//! queued when the previous commit has returned. The use cases call it. Every queued entry is either written
//! or refused, and outcomes are written even if their caller has disconnected.

mod queue;
mod writer;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::{Mutex, oneshot},
    task::JoinHandle,
    time::Instant,
};

use self::{
    queue::{PendingEvent, Queue},
    writer::{JournalPorts, Writer},
};
use crate::{
    audit::{batch_tag::BatchTagger, config::Config, leaf_cache::LeafCache, read_sampling::ReadSampler},
    domain::audit::{Event, EventId, JournalEntry, Kind},
    ports::{AuditLog, AuditUnavailable, Clock, EventStore},
};

/// Accepts entries and events, and writes them to the store.
pub struct Journal {
    queue: Arc<Queue>,
    leaf_cache: Arc<LeafCache>,
    reads: parking_lot::Mutex<ReadSampler>,
    timeout: Duration,
    writer: Mutex<Option<JoinHandle<()>>>,
}

// === impl Journal ===

impl Journal {
    /// Starts the writer, whose batches `tagger` authenticates. Nothing else in this process may append to the
    /// same store.
    #[must_use]
    pub fn start(
        store: Arc<dyn EventStore>,
        clock: Arc<dyn Clock>,
        tagger: Arc<BatchTagger>,
        config: Config,
    ) -> Self {
        let timeout = config.close_within + config.stall;
        let reads = parking_lot::Mutex::new(ReadSampler::new(config.reads));
        let queue = Arc::new(Queue::new(config.clone()));
        let leaf_cache = Arc::new(LeafCache::default());
        let ports = JournalPorts { store, clock, tagger };
        let writer = Writer::new(ports, Arc::clone(&queue), Arc::clone(&leaf_cache), config);
        let writer = Mutex::new(Some(tokio::spawn(writer.run())));
        Self { queue, leaf_cache, reads, timeout, writer }
    }

    /// The leaf hashes of the newest durable events, for the sequencer of the same log.
    #[must_use]
    pub fn leaf_cache(&self) -> Arc<LeafCache> {
        Arc::clone(&self.leaf_cache)
    }

    /// Refuses new entries, writes the queued ones, and ends. Retries a failing store for a limited time.
    pub async fn close(&self) {
        self.queue.close();
        let Some(mut writer) = self.writer.lock().await.take() else { return };
        match tokio::time::timeout(self.timeout, &mut writer).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the audit writer panicked");
            }
            Err(_elapsed) => {
                tracing::error!("the store does not respond: the remaining audit events are not written");
                writer.abort();
            }
        }
    }
}

#[async_trait]
impl AuditLog for Journal {
    async fn commit(&self, entry: JournalEntry) -> Result<EventId, AuditUnavailable> {
        let (reply, committed) = oneshot::channel();
        self.queue.push(PendingEvent { entry, reply: Some(reply) })?;
        // The writer answers every entry. If the writer has ended, the entry was not written.
        committed.await.unwrap_or(Err(AuditUnavailable(None)))
    }

    fn record_best_effort(&self, event: Event) {
        let recorded = match event.kind {
            Kind::Read => self.reads.lock().admit(event, Instant::now()),
            Kind::Intent
            | Kind::Outcome
            | Kind::Reconciled(_)
            | Kind::Refusal
            | Kind::Lifecycle
            | Kind::Finding => Some(event),
        };
        if let Some(event) = recorded {
            self.queue.note(event);
        }
    }

    fn not_ready_reason(&self) -> Option<String> {
        self.queue.unready()
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journal")
    }
}

#[cfg(test)]
mod tests;
