//! Upgrades the schema when the file is opened. Step 5 rewrites every event. It runs in batches before its
//! migration, which then finds no event. A process that is killed therefore loses one batch of work, and the
//! rewritten events use the space of those that they replace.

use std::path::Path;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::file::{self, MIGRATIONS};
use crate::{
    ports::upgrade::{UpgradeProgress, UpgradeStep},
    store::{error::OpenError, migrate},
};

/// The last schema with one row of columns for each event.
const BEFORE: i64 = 4;
/// The migration that rewrites the events.
const REWRITE: i64 = 5;
/// How many events a transaction moves: whole groups of 64, as in the migration.
const BATCH: i64 = 4096;

/// The other name keeps a process of an earlier release from using a log without its first events.
const BEGIN_SQL: &str = "\
BEGIN IMMEDIATE;
ALTER TABLE event RENAME TO unmoved_event;
CREATE TABLE moved_event (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE moved_batch (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL,
    least BLOB NOT NULL, most BLOB NOT NULL
) STRICT;
CREATE TABLE moved_batch_of_tenant (
    tenant TEXT NOT NULL, first INTEGER NOT NULL, PRIMARY KEY (tenant, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE moved_batch_of_call (
    correlation TEXT NOT NULL, first INTEGER NOT NULL, PRIMARY KEY (correlation, first)
) STRICT, WITHOUT ROWID;
COMMIT";
/// Moves the events up to a position. The sync at the end of the last step makes every batch durable.
const MOVE_SQL: &str = "\
BEGIN IMMEDIATE;
INSERT INTO moved_event (seq, body) SELECT seq, body FROM unmoved_event WHERE seq <= $1 ORDER BY seq;
INSERT INTO moved_batch (first, last, since, until, least, most)
SELECT min(seq), max(seq), min(time), max(time), min(id), max(id) FROM unmoved_event NOT INDEXED
WHERE seq <= $1 GROUP BY (seq - 1) / 64;
INSERT INTO moved_batch_of_tenant (tenant, first)
SELECT DISTINCT tenant, first FROM moved_batch CROSS JOIN unmoved_event NOT INDEXED ON seq BETWEEN first AND last
WHERE tenant IS NOT NULL AND first > $1 - $2;
INSERT INTO moved_batch_of_call (correlation, first)
SELECT DISTINCT correlation, first FROM moved_batch CROSS JOIN unmoved_event NOT INDEXED ON seq BETWEEN first AND last
WHERE first > $1 - $2;
DELETE FROM unmoved_event WHERE seq <= $1;
COMMIT";
/// Leaves the columns that the migration reads.
const EMPTY_SQL: &str = "\
BEGIN IMMEDIATE;
DROP TABLE unmoved_event;
CREATE TABLE event (seq INTEGER, id BLOB, time INTEGER, tenant TEXT, correlation TEXT, body TEXT) STRICT;
COMMIT";
/// Puts the moved rows where the migration would have put them. The old rules for names are needed, because the
/// triggers of the migration name tables that are missing in between.
const SWAP_SQL: &str = "\
PRAGMA legacy_alter_table = ON;
BEGIN IMMEDIATE;
DROP TABLE event;
DROP TABLE batch;
DROP TABLE batch_of_tenant;
DROP TABLE batch_of_call;
ALTER TABLE moved_event RENAME TO event;
ALTER TABLE moved_batch RENAME TO batch;
ALTER TABLE moved_batch_of_tenant RENAME TO batch_of_tenant;
ALTER TABLE moved_batch_of_call RENAME TO batch_of_call;
COMMIT;
PRAGMA legacy_alter_table = OFF";

/// Upgrades the schema, or creates it.
pub(super) async fn migrate(
    writer: &mut SqliteConnection,
    path: &Path,
    progress: &UpgradeProgress,
) -> Result<(), OpenError> {
    let failed = |source| file::classify(path, source);
    if has_table(writer, "moved_event").await.map_err(failed)? || has_rows_of_events(writer, path).await? {
        run_through(writer, path, BEFORE, progress).await?;
        move_events(writer, progress).await.map_err(failed)?;
        run_through(writer, path, REWRITE, progress).await?;
        sqlx::raw_sql(SWAP_SQL).execute(&mut *writer).await.map_err(failed)?;
    }
    run_through(writer, path, i64::MAX, progress).await
}

/// Whether an earlier release wrote the file, with one row of columns for each event.
async fn has_rows_of_events(writer: &mut SqliteConnection, path: &Path) -> Result<bool, OpenError> {
    let column = "SELECT count(*) FROM pragma_table_info('event') WHERE name = 'correlation'";
    let found: i64 =
        sqlx::query_scalar(column).fetch_one(writer).await.map_err(|source| file::classify(path, source))?;
    Ok(found > 0)
}

async fn run_through(
    writer: &mut SqliteConnection,
    path: &Path,
    target: i64,
    progress: &UpgradeProgress,
) -> Result<(), OpenError> {
    let migrated = migrate::run(MIGRATIONS, writer, target, progress).await;
    migrated
        .map_err(|error| migrate::open_error(error, path.to_owned(), |source| file::classify(path, source)))
}

/// Moves the events that were not moved yet, and leaves an empty table to the migration.
async fn move_events(writer: &mut SqliteConnection, progress: &UpgradeProgress) -> Result<(), sqlx::Error> {
    if !has_table(writer, "moved_event").await? {
        sqlx::raw_sql(BEGIN_SQL).execute(&mut *writer).await?;
    }
    if !has_table(writer, "unmoved_event").await? {
        return Ok(());
    }
    let count = async |writer: &mut SqliteConnection, sql: &'static str| {
        sqlx::query_scalar::<_, i64>(sql).fetch_one(writer).await
    };
    let last = count(writer, "SELECT coalesce(max(seq), 0) FROM unmoved_event").await?;
    let first = "SELECT coalesce(min(seq), 0) FROM unmoved_event";
    loop {
        let next = count(writer, first).await?;
        if next == 0 {
            break;
        }
        let (done, total) = (next.saturating_sub(1).unsigned_abs(), last.unsigned_abs());
        progress.set(Some(UpgradeStep { number: REWRITE, last: migrate::last(MIGRATIONS), done, total }));
        let through = (next.saturating_sub(1) / BATCH + 1) * BATCH;
        sqlx::query(MOVE_SQL).bind(through).bind(BATCH).execute(&mut *writer).await?;
    }
    sqlx::raw_sql(EMPTY_SQL).execute(writer).await.map(drop)
}

async fn has_table(writer: &mut SqliteConnection, name: &'static str) -> Result<bool, sqlx::Error> {
    let sql = format!("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '{name}'");
    let found: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(writer).await?;
    Ok(found > 0)
}
