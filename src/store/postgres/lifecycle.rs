//! Closes the sessions, and replaces the whole log.

use async_trait::async_trait;
use sqlx::Connection as _;

use super::{
    database::Postgres,
    error::unavailable,
    write::{self, Session},
};
use crate::ports::{AppendError, Batch, ClosableStore, LogReplacement, SignedCheckpoint};

/// Removes the log. What the store knows about resources, requests, bulk jobs and rules stays. No row of a long
/// log is read for it.
const CLEAR_SQL: &str = "\
TRUNCATE event, batch_tag, tile, checkpoint;
UPDATE log SET last = 0;
UPDATE sink SET event = 0, checkpoint = 0;
UPDATE fact SET value = 0 WHERE name = 'settled_before'";
const CHECKPOINT_SQL: &str = "INSERT INTO checkpoint (size, time, note, handover) VALUES (0, $1, $2, false)";

#[async_trait]
impl ClosableStore for Postgres {
    async fn close(&self) {
        self.reader.close().await;
        self.leader.close().await;
        // If the connection is broken, the server ends the session by itself.
        if let Some(Session { connection, .. }) = self.writer.lock().await.take() {
            drop(connection.close().await);
        }
    }
}

#[async_trait]
impl LogReplacement for Postgres {
    async fn replace_log(&self, empty: &SignedCheckpoint, first: &[Batch]) -> Result<(), AppendError> {
        let mut writer = self.writer.lock().await;
        let Some(mut session) = writer.take() else {
            return Err(AppendError::NotWritten(unavailable("there is no connection")));
        };
        execute(&mut session, "BEGIN").await?;
        execute(&mut session, CLEAR_SQL).await?;
        let query = sqlx::query(CHECKPOINT_SQL).bind(empty.time.as_micros()).bind(&*empty.note);
        let stored = query.execute(&mut session.connection).await;
        stored.map_err(|source| AppendError::NotWritten(unavailable(source)))?;
        for batch in first {
            write::append(&mut session, batch).await?;
        }
        let committed = sqlx::raw_sql("COMMIT").execute(&mut session.connection).await;
        committed.map_err(|source| AppendError::Indeterminate(unavailable(source)))?;
        *writer = Some(session);
        Ok(())
    }
}

async fn execute(session: &mut Session, sql: &'static str) -> Result<(), AppendError> {
    let executed = sqlx::raw_sql(sql).execute(&mut session.connection).await;
    executed.map(drop).map_err(|source| AppendError::NotWritten(unavailable(source)))
}
