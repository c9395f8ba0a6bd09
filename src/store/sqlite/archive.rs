//! Removes archived events, and stores up to which event every intent is closed.

use async_trait::async_trait;
use sqlx::{Connection as _, SqliteConnection};

use super::{database::Sqlite, error::failed, fields::body, read::Reader};
use crate::{
    ports::{ArchivedEvents, Unavailable},
    store::{
        columns::to_i64,
        event_log::EventLog,
        removal::{self, PAUSE, RECONCILED_STEP},
        tree_rows,
    },
};

/// The number of events that one transaction removes. It takes the writer a few milliseconds.
const STEP: i64 = 512;

/// Removes the events up to a sequence number. If a part of a batch stays, the batch then begins after that
/// number, with the tenants and calls of its remaining events.
const REMOVE_SQL: &str = concat!(
    "\
BEGIN IMMEDIATE;
INSERT OR IGNORE INTO batch (first, last, since, until, least, most)
SELECT $1 + 1, last, since, until, least, most FROM batch WHERE first <= $1 AND last > $1;
INSERT OR IGNORE INTO batch_of_tenant (tenant, first)
SELECT ",
    body!(tenant),
    ", first FROM batch JOIN event ON seq BETWEEN first AND last
WHERE first = $1 + 1 AND json_valid(body) AND ",
    body!(tenant),
    " IS NOT NULL;
INSERT OR IGNORE INTO batch_of_call (correlation, first)
SELECT ",
    body!(correlation),
    ", first FROM batch JOIN event ON seq BETWEEN first AND last
WHERE first = $1 + 1 AND json_valid(body);
DELETE FROM batch_of_tenant WHERE first <= $1 AND tenant IN (
    SELECT ",
    body!(tenant),
    " FROM batch JOIN event ON seq BETWEEN first AND last
    WHERE first <= $1 AND json_valid(body));
DELETE FROM batch_of_call WHERE first <= $1 AND correlation IN (
    SELECT ",
    body!(correlation),
    " FROM batch JOIN event ON seq BETWEEN first AND last
    WHERE first <= $1 AND json_valid(body));
DELETE FROM batch WHERE first <= $1;
DELETE FROM event WHERE seq <= $1;
COMMIT"
);

#[async_trait]
impl ArchivedEvents for Sqlite {
    async fn read_through(&self) -> Result<Option<u64>, Unavailable> {
        tree_rows::read_through(&self.reader).await
    }

    async fn remove_through(&self, seq: u64) -> Result<(), Unavailable> {
        for through in removal::steps(&self.reader, to_i64(seq), STEP).await? {
            let remove = async |connection: &mut SqliteConnection| {
                sqlx::query(REMOVE_SQL).bind(through).execute(connection).await.map_err(failed)
            };
            self.with_writer(remove).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

impl EventLog for Sqlite {
    type Reader = Reader;

    fn reader(&self) -> &Reader {
        &self.reader
    }

    async fn remember_reconciled(&self) {
        let reconciled = self.reader.reconciled();
        let saved =
            self.with_writer(async |connection| remember(connection, reconciled).await.map_err(failed)).await;
        if let Err(error) = saved {
            removal::log_not_remembered(&error);
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
