//! Removes archived events, and stores up to which event every intent is closed.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection as _, SqliteConnection};

use super::{Sqlite, read::failed};
use crate::ports::{ArchivedEvents, Unavailable};

/// The number of events that one transaction removes. It takes the writer a few milliseconds.
const STEP: i64 = 512;
/// The pause between two steps, in which the writer can append.
const PAUSE: Duration = Duration::from_millis(5);
/// The minimum advance of the position before which every intent is closed. Smaller advances are not stored.
const RECONCILED_STEP: i64 = 1024;

/// Removes the events up to a sequence number. If a part of a batch stays, the batch then begins after that
/// number, with the tenants and calls of its remaining events.
const REMOVE_SQL: &str = "\
BEGIN IMMEDIATE;
INSERT OR IGNORE INTO batch (first, last, since, until, least, most)
SELECT $1 + 1, last, since, until, least, most FROM batch WHERE first <= $1 AND last > $1;
INSERT OR IGNORE INTO batch_of_tenant (tenant, first)
SELECT body ->> '$.metadata.tenant_uid', first FROM batch JOIN event ON seq BETWEEN first AND last
WHERE first = $1 + 1 AND json_valid(body) AND body ->> '$.metadata.tenant_uid' IS NOT NULL;
INSERT OR IGNORE INTO batch_of_call (correlation, first)
SELECT body ->> '$.metadata.correlation_uid', first FROM batch JOIN event ON seq BETWEEN first AND last
WHERE first = $1 + 1 AND json_valid(body);
DELETE FROM batch_of_tenant WHERE first <= $1 AND tenant IN (
    SELECT body ->> '$.metadata.tenant_uid' FROM batch JOIN event ON seq BETWEEN first AND last
    WHERE first <= $1 AND json_valid(body));
DELETE FROM batch_of_call WHERE first <= $1 AND correlation IN (
    SELECT body ->> '$.metadata.correlation_uid' FROM batch JOIN event ON seq BETWEEN first AND last
    WHERE first <= $1 AND json_valid(body));
DELETE FROM batch WHERE first <= $1;
DELETE FROM event WHERE seq <= $1;
COMMIT";

#[async_trait]
impl ArchivedEvents for Sqlite {
    async fn read_through(&self) -> Result<Option<u64>, Unavailable> {
        let min: Option<i64> = sqlx::query_scalar("SELECT min(event) FROM sink WHERE active")
            .fetch_one(&self.reader.pool)
            .await
            .map_err(failed)?;
        Ok(min.map(|min| u64::try_from(min).unwrap_or_default()))
    }

    async fn remove_through(&self, seq: u64) -> Result<(), Unavailable> {
        let last = i64::try_from(seq).unwrap_or(i64::MAX);
        let first: Option<i64> = sqlx::query_scalar("SELECT min(seq) FROM event")
            .fetch_one(&self.reader.pool)
            .await
            .map_err(failed)?;
        let mut through = first.unwrap_or(i64::MAX).saturating_sub(1);
        while through < last {
            through = through.saturating_add(STEP).min(last);
            let remove = async |connection: &mut SqliteConnection| {
                sqlx::query(REMOVE_SQL).bind(through).execute(connection).await.map_err(failed)
            };
            self.with_writer(remove).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

impl Sqlite {
    /// Stores the sequence number before which every intent is closed, so that the next start need not read
    /// the log from the beginning. If that fails, a later call does it.
    pub(super) async fn remember_reconciled(&self) {
        let reconciled = self.reader.reconciled();
        let saved =
            self.with_writer(async |connection| remember(connection, reconciled).await.map_err(failed)).await;
        if let Err(error) = saved {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot store the position before which every intent is closed"
            );
        }
    }
}

async fn remember(writer: &mut SqliteConnection, reconciled: i64) -> Result<(), sqlx::Error> {
    let stored: i64 = sqlx::query_scalar("SELECT value FROM fact WHERE name = 'settled_before'")
        .fetch_one(&mut *writer)
        .await?;
    if reconciled < stored.saturating_add(RECONCILED_STEP) {
        return Ok(());
    }
    let mut change = writer.begin().await?;
    sqlx::query("UPDATE fact SET value = max(value, $1) WHERE name = 'settled_before'")
        .bind(reconciled)
        .execute(&mut *change)
        .await?;
    change.commit().await
}
