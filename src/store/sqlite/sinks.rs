//! Stores the positions of the sinks.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{
    database::Sqlite,
    error::{failed, garbled},
};
use crate::{
    ports::{SignedCheckpoint, SinkPosition, SinkStore, Unavailable},
    store::tree_rows,
};

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

#[async_trait]
impl SinkStore for Sqlite {
    async fn register(&self, sinks: &[Box<str>]) -> Result<Vec<SinkPosition>, Unavailable> {
        self.with_writer(async |connection| register(connection, sinks).await).await?;
        tree_rows::positions(&self.reader, sinks).await
    }

    async fn checkpoints(&self, after: u64, limit: u32) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        tree_rows::checkpoints_after(&self.reader, after, limit).await
    }

    async fn advance(&self, sink: &str, from: SinkPosition, to: SinkPosition) -> Result<(), Unavailable> {
        self.with_writer(async |connection| advance(connection, sink, from, to).await).await
    }
}

async fn register(writer: &mut SqliteConnection, sinks: &[Box<str>]) -> Result<(), Unavailable> {
    let names = serde_json::to_string(sinks).map_err(garbled)?;
    sqlx::query(REGISTER_SQL).bind(names).execute(writer).await.map(drop).map_err(failed)
}

async fn advance(
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
