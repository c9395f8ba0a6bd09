//! Closes the store, and replaces the whole log.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use sqlx::{Connection as _, SqliteConnection};

use super::{
    database::Sqlite,
    error::{failed, unavailable},
    write,
};
use crate::ports::{AppendError, Batch, ClosableStore, LogReplacement, SignedCheckpoint};

/// Removes the log. What the store knows about resources, requests, bulk jobs and rules stays.
const CLEAR_SQL: &str = "\
DELETE FROM event;
DELETE FROM batch;
DELETE FROM batch_of_tenant;
DELETE FROM batch_of_call;
DELETE FROM tile;
DELETE FROM checkpoint;
UPDATE sink SET event = 0, checkpoint = 0;
UPDATE fact SET value = 0 WHERE name = 'settled_before'";
const CHECKPOINT_SQL: &str = "INSERT INTO checkpoint (size, time, note, handover) VALUES (0, ?, ?, false)";

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

#[async_trait]
impl LogReplacement for Sqlite {
    async fn replace_log(&self, empty: &SignedCheckpoint, first: &[Batch]) -> Result<(), AppendError> {
        let closed = || AppendError::NotWritten(unavailable(None));
        let replace = async |connection: &mut SqliteConnection| {
            execute(connection, "BEGIN IMMEDIATE").await?;
            execute(connection, CLEAR_SQL).await?;
            sqlx::query(CHECKPOINT_SQL)
                .bind(empty.time.as_micros())
                .bind(&*empty.note)
                .execute(&mut *connection)
                .await
                .map_err(not_written)?;
            for (batch, seq) in first.iter().zip(1..) {
                let frames = self.packer.pack(batch)?;
                write::append(connection, batch, frames, seq).await?;
            }
            sqlx::raw_sql("COMMIT")
                .execute(&mut *connection)
                .await
                .map_err(|source| AppendError::Indeterminate(failed(source)))?;
            self.next.store(write::next(connection).await.map_err(not_written)?, Ordering::Relaxed);
            Ok(())
        };
        self.writer.checkout(closed, replace).await
    }
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), AppendError> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop).map_err(not_written)
}

fn not_written(source: sqlx::Error) -> AppendError {
    AppendError::NotWritten(failed(source))
}
