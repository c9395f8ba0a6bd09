//! Appends events, as the only process.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use sqlx::{Connection as _, SqliteConnection};

use super::{
    database::Sqlite,
    error::{garbled, unavailable},
    write,
};
use crate::{
    domain::audit::EventId,
    ports::{AppendError, Batch, EventStore, Leadership, Unavailable},
};

/// Another program inserted rows where the next events belong. The log cannot go on over them.
#[derive(Debug, thiserror::Error)]
#[error(
    "the table `event` has rows from position {next} on that this process did not write; move them elsewhere, and \
     find out who wrote them"
)]
struct ForeignRows {
    next: i64,
}

#[async_trait]
impl EventStore for Sqlite {
    async fn append(&self, batch: Arc<Batch>) -> Result<Option<u64>, AppendError> {
        let closed = || AppendError::NotWritten(unavailable(None));
        let append = async |connection: &mut SqliteConnection| {
            let first = self.next.load(Ordering::Relaxed);
            let events = i64::try_from(batch.events.len()).unwrap_or(i64::MAX);
            self.appending.store(events, Ordering::Relaxed);
            let frames = self.packer.pack(&batch)?;
            write::append(connection, &batch, frames, first).await?;
            self.next.fetch_add(events, Ordering::Relaxed);
            self.appending.store(0, Ordering::Relaxed);
            self.wal.add(batch.bytes.len());
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
        let events = if stored { self.appending.load(Ordering::Relaxed) } else { 0 };
        let next = self.next.load(Ordering::Relaxed).saturating_add(events);
        let free = write::next(&mut connection).await.map_err(|source| unavailable(Some(source)))?;
        if free > next {
            return Err(garbled(ForeignRows { next }));
        }
        self.next.store(next, Ordering::Relaxed);
        self.appending.store(0, Ordering::Relaxed);
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
