//! A reader of the log that shows how far it has read.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{
    cli::progress::Progress,
    domain::{audit::EventId, time::Timestamp},
    ports::{EventFilter, EventReader, IndexCheckedEvent, StoredBatch, StoredEvent, Unavailable},
};

/// Reads a log in order, and shows the position of what it has read last.
pub(super) struct CountingReader {
    inner: Arc<dyn EventReader>,
    progress: Progress,
}

// === impl CountingReader ===

impl CountingReader {
    pub(super) fn new(inner: Arc<dyn EventReader>, progress: Progress) -> Self {
        Self { inner, progress }
    }
}

#[async_trait]
impl EventReader for CountingReader {
    async fn list(
        &self,
        filter: &EventFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        self.inner.list(filter, before, limit).await
    }

    async fn next(
        &self,
        filter: &EventFilter,
        through: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        self.inner.next(filter, through, limit).await
    }

    async fn after(&self, seq: u64, limit: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        let found = self.inner.after(seq, limit).await?;
        found.last().iter().for_each(|event| self.progress.set(event.seq));
        Ok(found)
    }

    async fn index_check(&self, seq: u64, limit: u32) -> Result<Vec<IndexCheckedEvent>, Unavailable> {
        self.inner.index_check(seq, limit).await
    }

    async fn open_intents(&self, before: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        self.inner.open_intents(before).await
    }

    async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        self.inner.find(id).await
    }

    async fn batches(&self, after: u64, through: u64) -> Result<Vec<StoredBatch>, Unavailable> {
        self.inner.batches(after, through).await
    }

    async fn count_misplaced(&self) -> Result<u64, Unavailable> {
        self.inner.count_misplaced().await
    }
}

impl fmt::Debug for CountingReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountingReader").field("progress", &self.progress).finish_non_exhaustive()
    }
}
