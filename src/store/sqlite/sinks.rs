//! Reads and writes the positions of the sinks, and the checkpoints that are kept for them.

use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{
    read::{Reader, failed, garbled},
    tree,
};
use crate::ports::{SignedCheckpoint, SinkPosition, Unavailable};

const REGISTER_SQL: &str = "\
BEGIN IMMEDIATE;
INSERT INTO sink (name) SELECT value FROM json_each($1) WHERE true ON CONFLICT (name) DO NOTHING;
UPDATE sink SET active = name IN (SELECT value FROM json_each($1));
COMMIT";

/// Stores a position and deletes checkpoints that are no longer needed: of the checkpoints of one hour that
/// every sink has, only the last one stays. Only checkpoints after the former position can have waited for
/// this sink.
const ADVANCE_SQL: &str = "\
BEGIN IMMEDIATE;
UPDATE sink SET event = $2, checkpoint = $3 WHERE name = $1;
DELETE FROM checkpoint
WHERE handover = 0 AND size > $4 AND size <= (SELECT min(checkpoint) FROM sink WHERE active)
AND time / 3600000000 = (
    SELECT later.time / 3600000000 FROM checkpoint AS later
    WHERE later.size > checkpoint.size ORDER BY later.size LIMIT 1
);
COMMIT";

pub(super) async fn register(
    writer: &mut SqliteConnection,
    sinks: &[Box<str>],
) -> Result<Vec<SinkPosition>, Unavailable> {
    let names = serde_json::to_string(sinks).map_err(garbled)?;
    sqlx::query(REGISTER_SQL).bind(names).execute(&mut *writer).await.map_err(failed)?;
    let mut positions = Vec::with_capacity(sinks.len());
    for sink in sinks {
        let row = sqlx::query("SELECT event, checkpoint FROM sink WHERE name = $1")
            .bind(&**sink)
            .fetch_one(&mut *writer)
            .await
            .map_err(failed)?;
        positions.push(position(&row)?);
    }
    Ok(positions)
}

pub(super) async fn advance(
    writer: &mut SqliteConnection,
    sink: &str,
    from: SinkPosition,
    to: SinkPosition,
) -> Result<(), Unavailable> {
    sqlx::query(ADVANCE_SQL)
        .bind(sink)
        .bind(i64::try_from(to.event).map_err(garbled)?)
        .bind(i64::try_from(to.checkpoint).map_err(garbled)?)
        .bind(i64::try_from(from.checkpoint).map_err(garbled)?)
        .execute(writer)
        .await
        .map(drop)
        .map_err(failed)
}

impl Reader {
    pub(super) async fn checkpoints(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        let rows = sqlx::query(
            "SELECT size, time, note, handover FROM checkpoint WHERE size > $1 ORDER BY size LIMIT $2",
        )
        .bind(i64::try_from(after).map_err(garbled)?)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(tree::signed).collect()
    }
}

fn position(row: &SqliteRow) -> Result<SinkPosition, Unavailable> {
    Ok(SinkPosition { event: tree::unsigned(row, 0)?, checkpoint: tree::unsigned(row, 1)? })
}
