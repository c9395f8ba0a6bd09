//! Removes archived events, and stores up to which event every intent is closed.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use sqlx::{Connection as _, SqliteConnection};

use super::{
    database::Sqlite,
    error::{failed, garbled, unavailable},
    event_rows,
    read::Reader,
};
use crate::{
    ports::{ArchivedEvents, StoredEvent, Unavailable},
    store::{
        columns::{Columns as _, to_i64},
        database::Database as _,
        event_fields::EventFields,
        event_log::EventLog,
        removal::{self, PAUSE, RECONCILED_STEP},
        tree_rows,
    },
};

/// The number of events that one transaction removes. It takes the writer a few milliseconds.
const STEP: i64 = 512;

/// Selects the events that are removed, and those that stay in the batch of the last one.
const AFFECTED_SQL: &str = "\
SELECT seq, body, packed FROM event
WHERE seq <= max($1, coalesce((SELECT max(last) FROM batch WHERE first <= $1), 0)) ORDER BY seq";

/// Removes the events up to a sequence number. If a part of a batch stays, the batch then begins after that
/// number, with the tenants and calls of its remaining events.
const REMOVE_SQL: &str = "\
BEGIN IMMEDIATE;
INSERT OR IGNORE INTO batch (first, last, since, until, least, most)
SELECT $1 + 1, last, since, until, least, most FROM batch WHERE first <= $1 AND last > $1;
INSERT OR IGNORE INTO batch_of_tenant (tenant, first)
SELECT value, $1 + 1 FROM json_each($2) WHERE EXISTS (SELECT 1 FROM batch WHERE first = $1 + 1);
INSERT OR IGNORE INTO batch_of_call (correlation, first)
SELECT value, $1 + 1 FROM json_each($3) WHERE EXISTS (SELECT 1 FROM batch WHERE first = $1 + 1);
DELETE FROM batch_of_tenant WHERE first <= $1 AND tenant IN (SELECT value FROM json_each($4));
DELETE FROM batch_of_call WHERE first <= $1 AND correlation IN (SELECT value FROM json_each($5));
DELETE FROM batch WHERE first <= $1;
DELETE FROM event WHERE seq <= $1;
COMMIT";

/// The tenants and calls of events.
#[derive(Default)]
struct Parties {
    tenants: BTreeSet<String>,
    calls: BTreeSet<String>,
}

/// Gives a few free pages back. It takes the writer a few milliseconds.
const SHRINK_SQL: &str = "PRAGMA incremental_vacuum(128)";

#[async_trait]
impl ArchivedEvents for Sqlite {
    async fn read_through(&self) -> Result<Option<u64>, Unavailable> {
        tree_rows::read_through(&self.reader).await
    }

    async fn remove_through(&self, seq: u64) -> Result<(), Unavailable> {
        for through in removal::steps(&self.reader, to_i64(seq), STEP).await? {
            // On a separate task, so that a cancelled call does not interrupt it and thereby cost the journal its
            // connection.
            let writer = Arc::clone(&self.writer);
            let removed = tokio::spawn(async move {
                let remove = async |connection: &mut SqliteConnection| remove(connection, through).await;
                writer.checkout(|| unavailable(None), remove).await
            });
            removed.await.map_err(garbled)??;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn shrink(&self) -> Result<(), Unavailable> {
        let mut free = self.free_pages().await?;
        while free > 0 {
            self.write(sqlx::query(SHRINK_SQL)).await?;
            tokio::time::sleep(PAUSE).await;
            let rest = self.free_pages().await?;
            // A file of an earlier release keeps its free pages and uses them for new events.
            if rest >= free {
                break;
            }
            free = rest;
        }
        Ok(())
    }
}

impl Sqlite {
    async fn free_pages(&self) -> Result<i64, Unavailable> {
        let rows = self.reader.rows("PRAGMA freelist_count", &[]).await?;
        rows.first().map_or(Ok(0), |row| row.number(0).map(Option::unwrap_or_default))
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

async fn remove(writer: &mut SqliteConnection, through: i64) -> Result<(), Unavailable> {
    let affected = sqlx::query(AFFECTED_SQL).bind(through).fetch_all(&mut *writer).await.map_err(failed)?;
    let affected = event_rows::events(&affected)?;
    let staying = parties(affected.iter().filter(|event| to_i64(event.seq) > through));
    let all = parties(affected.iter());
    sqlx::query(REMOVE_SQL)
        .bind(through)
        .bind(serde_json::to_string(&staying.tenants).map_err(garbled)?)
        .bind(serde_json::to_string(&staying.calls).map_err(garbled)?)
        .bind(serde_json::to_string(&all.tenants).map_err(garbled)?)
        .bind(serde_json::to_string(&all.calls).map_err(garbled)?)
        .execute(writer)
        .await
        .map(drop)
        .map_err(failed)
}

fn parties<'e>(events: impl Iterator<Item = &'e StoredEvent>) -> Parties {
    let mut parties = Parties::default();
    for fields in events.filter_map(|event| EventFields::parse(&event.body)) {
        parties.tenants.extend(fields.tenant().map(str::to_owned));
        parties.calls.insert(fields.correlation().to_owned());
    }
    parties
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
