//! What makes the file no longer than it must be: events that were moved out are removed, and what was
//! found settled is remembered.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection as _, SqliteConnection};

use super::{Sqlite, read::failed};
use crate::ports::{ArchivedEvents, Unavailable};

/// Events removed at once: a few milliseconds of the writer's time.
const STEP: i64 = 512;
/// What is left to the writer between two steps.
const PAUSE: Duration = Duration::from_millis(5);
/// How far the place before which all is settled moves before it is written down.
const RECONCILED_STEP: i64 = 1024;

/// A batch of which a part stays begins behind it from then on, for the tenants and calls of what stays.
const REMOVE: &str = "\
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
            let remove = async |open: &mut SqliteConnection| {
                sqlx::query(REMOVE).bind(through).execute(open).await.map_err(failed)
            };
            self.with_writer(remove).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

impl Sqlite {
    /// Writes down before which place all is settled, so that the next start need not read from the
    /// beginning. Where that cannot be done it is done later.
    pub(super) async fn remember_reconciled(&self) {
        let reconciled = self.reader.reconciled();
        let saved = self.with_writer(async |open| remember(open, reconciled).await.map_err(failed)).await;
        if let Err(error) = saved {
            tracing::warn!(error = &error as &dyn std::error::Error, "what is settled is not written down");
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
