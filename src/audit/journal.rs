//! The one way into the log: a bounded queue before one writer that commits whatever is waiting when
//! the last commit is back. Called by the use cases; an entry that is in the queue is written or its
//! caller is told, also when that caller has gone away.

mod queue;
mod writer;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::{Mutex, oneshot},
    task::JoinHandle,
};

use self::{
    queue::{PendingEvent, Queue},
    writer::Writer,
};
use super::{Config, LeafCache};
use crate::{
    domain::audit::{Event, EventId, JournalEntry, Kind},
    ports::{AuditLog, AuditUnavailable, Clock, EventStore},
};

/// Takes entries and events, and keeps them in the store.
pub struct Journal {
    queue: Arc<Queue>,
    tail: Arc<LeafCache>,
    reads: bool,
    timeout: Duration,
    writer: Mutex<Option<JoinHandle<()>>>,
}

// === impl Journal ===

impl Journal {
    /// Starts the writer. Nothing else may append to the same store.
    #[must_use]
    pub fn start(store: Arc<dyn EventStore>, clock: Arc<dyn Clock>, config: Config) -> Self {
        let (reads, timeout) = (config.reads, config.close_within + config.stall);
        let queue = Arc::new(Queue::new(config.clone()));
        let tail = Arc::new(LeafCache::default());
        let writer = Writer::new(Arc::clone(&queue), store, Arc::clone(&tail), clock, config);
        let writer = Mutex::new(Some(tokio::spawn(writer.run())));
        Self { queue, tail, reads, timeout, writer }
    }

    /// The leaf hashes of what is kept, for the sequencer of the same log.
    #[must_use]
    pub fn tail(&self) -> Arc<LeafCache> {
        Arc::clone(&self.tail)
    }

    /// Takes nothing more, writes what is waiting, and ends. A store that fails is tried for a while.
    pub async fn close(&self) {
        self.queue.close();
        let Some(mut writer) = self.writer.lock().await.take() else { return };
        match tokio::time::timeout(self.timeout, &mut writer).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the audit writer ended in a fault"
                );
            }
            Err(_elapsed) => {
                tracing::error!("the store does not answer: what is left is not written");
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
        // The writer answers every entry; without a writer nothing is kept.
        committed.await.unwrap_or(Err(AuditUnavailable(None)))
    }

    fn record_best_effort(&self, event: Event) {
        if event.kind != Kind::Read || self.reads {
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
