//! Reads events from an open store, through its reader.

use async_trait::async_trait;

use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{EventFilter, EventReader, IndexCheckedEvent, StoredBatch, StoredEvent, Unavailable},
};

/// An open store that can be written.
pub(super) trait EventLog: Send + Sync + 'static {
    type Reader: EventReader;

    fn reader(&self) -> &Self::Reader;

    /// Stores the sequence number before which every intent is closed, so that the next search need not read
    /// the log from the beginning. If that fails, a later call does it.
    fn remember_reconciled(&self) -> impl Future<Output = ()> + Send;
}

#[async_trait]
impl<L: EventLog> EventReader for L {
    async fn list(
        &self,
        filter: &EventFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        self.reader().list(filter, before, limit).await
    }

    async fn next(
        &self,
        filter: &EventFilter,
        through: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        self.reader().next(filter, through, limit).await
    }

    async fn after(&self, seq: u64, limit: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        self.reader().after(seq, limit).await
    }

    async fn index_check(&self, seq: u64, limit: u32) -> Result<Vec<IndexCheckedEvent>, Unavailable> {
        self.reader().index_check(seq, limit).await
    }

    async fn open_intents(&self, before: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        let found = self.reader().open_intents(before).await?;
        self.remember_reconciled().await;
        Ok(found)
    }

    async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        self.reader().find(id).await
    }

    async fn batches(&self, after: u64, through: u64) -> Result<Vec<StoredBatch>, Unavailable> {
        self.reader().batches(after, through).await
    }

    async fn count_misplaced(&self) -> Result<u64, Unavailable> {
        self.reader().count_misplaced().await
    }
}
