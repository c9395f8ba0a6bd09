//! Appends events, as the only process.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use sqlx::{Connection as _, SqliteConnection};

use super::{database::Sqlite, error::unavailable, write};
use crate::{
    domain::audit::EventId,
    ports::{AppendError, Batch, EventStore, Leadership, Unavailable},
};

#[async_trait]
impl EventStore for Sqlite {
    async fn append(&self, batch: Arc<Batch>) -> Result<Option<u64>, AppendError> {
        let closed = || AppendError::NotWritten(unavailable(None));
        let append = async |connection: &mut SqliteConnection| {
            let first = self.next.load(Ordering::Relaxed);
            write::append(connection, &batch, first).await?;
            let events = i64::try_from(batch.events.len()).unwrap_or(i64::MAX);
            self.next.fetch_add(events, Ordering::Relaxed);
            Ok(first)
        };
        let first = self.writer.checkout(closed, append).await?;
        Ok(u64::try_from(first).ok())
    }

    async fn recover(&self, doubtful: Option<EventId>) -> Result<bool, Unavailable> {
        let mut writer = self.writer.reopen().await;
        let mut connection = SqliteConnection::connect_with(&self.options)
            .await
            .map_err(|source| unavailable(Some(source)))?;
        let stored = write::recover(&mut connection, doubtful).await?;
        let next = write::next(&mut connection).await.map_err(|source| unavailable(Some(source)))?;
        self.next.store(next, Ordering::Relaxed);
        *writer = Some(connection);
        Ok(stored)
    }
}

/// The lock guarantees that there is only one process.
impl Leadership for Sqlite {
    fn is_leader(&self) -> bool {
        true
    }

    fn is_single_node(&self) -> bool {
        true
    }
}
