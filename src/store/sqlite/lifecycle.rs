//! Closes the store.

use async_trait::async_trait;
use sqlx::Connection as _;

use super::database::Sqlite;
use crate::ports::ClosableStore;

#[async_trait]
impl ClosableStore for Sqlite {
    async fn close(&self) {
        // SQLite copies the write-ahead log into the database and deletes it when the last connection closes.
        // That has to be a connection that may write.
        self.reader.close().await;
        let Some(mut connection) = self.writer.take().await else { return };
        let moved = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await;
        if let Err(error) = moved.map(drop).and(connection.close().await) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the store was not closed; keep its -wal file together with the database");
        }
        drop(self.lock.lock().take());
    }
}
