//! Reads the checkpoints, the tiles and the positions of the sinks. Both databases store them in the same
//! tables.

use super::{
    columns::{Columns, corrupt_row, to_i64},
    database::Database,
};
use crate::{
    domain::time::Timestamp,
    ports::{BatchTag, SignedCheckpoint, SinkPosition, StoredBatch, Tile, Unavailable},
};

const NEWEST_SQL: &str = "SELECT size, time, note, handover FROM checkpoint ORDER BY size DESC LIMIT 1";
const ALL_SQL: &str = "SELECT size, time, note, handover FROM checkpoint ORDER BY size";
const AFTER_SQL: &str =
    "SELECT size, time, note, handover FROM checkpoint WHERE size > $1 ORDER BY size LIMIT $2";
const POSITION_SQL: &str = "SELECT event, checkpoint FROM sink WHERE name = $1";
const READ_THROUGH_SQL: &str = "SELECT min(event) FROM sink WHERE active";

/// The newest checkpoint, if there is one.
pub(super) async fn newest(database: &impl Database) -> Result<Option<SignedCheckpoint>, Unavailable> {
    database.rows(NEWEST_SQL, &[]).await?.first().map(checkpoint).transpose()
}

/// All checkpoints, the smallest first.
pub(super) async fn checkpoints(database: &impl Database) -> Result<Vec<SignedCheckpoint>, Unavailable> {
    database.rows(ALL_SQL, &[]).await?.iter().map(checkpoint).collect()
}

/// The batches that begin in this range.
pub(super) async fn batches(
    database: &impl Database,
    sql: &'static str,
    after: u64,
    through: u64,
) -> Result<Vec<StoredBatch>, Unavailable> {
    let rows = database.rows(sql, &[to_i64(after).into(), to_i64(through).into()]).await?;
    rows.iter().map(batch).collect()
}

/// How many events have a position that is not positive.
pub(super) async fn count_misplaced(database: &impl Database) -> Result<u64, Unavailable> {
    let rows = database.rows("SELECT count(*) FROM event WHERE seq < 1", &[]).await?;
    rows.first().map_or(Ok(0), |row| row.unsigned(0))
}

/// At most `limit` checkpoints that are larger than this size, the smallest first.
pub(super) async fn checkpoints_after(
    database: &impl Database,
    size: u64,
    limit: u32,
) -> Result<Vec<SignedCheckpoint>, Unavailable> {
    let params = [to_i64(size).into(), i64::from(limit).into()];
    database.rows(AFTER_SQL, &params).await?.iter().map(checkpoint).collect()
}

/// The positions of these sinks, which are registered.
pub(super) async fn positions(
    database: &impl Database,
    sinks: &[Box<str>],
) -> Result<Vec<SinkPosition>, Unavailable> {
    let mut positions = Vec::with_capacity(sinks.len());
    for sink in sinks {
        let rows = database.rows(POSITION_SQL, &[(&**sink).into()]).await?;
        let row = rows.first().ok_or_else(|| not_registered(&rows))?;
        positions.push(SinkPosition { event: row.unsigned(0)?, checkpoint: row.unsigned(1)? });
    }
    Ok(positions)
}

/// The sequence number up to which every sink has read the log. `None` if there is no sink.
pub(super) async fn read_through(database: &impl Database) -> Result<Option<u64>, Unavailable> {
    let rows = database.rows(READ_THROUGH_SQL, &[]).await?;
    let min = rows.first().map_or(Ok(None), |row| row.number(0))?;
    Ok(min.map(|min| u64::try_from(min).unwrap_or_default()))
}

/// Reads a tile from a row of its level, index and hashes.
pub(super) fn tile<R: Columns>(row: &R) -> Result<Tile, Unavailable> {
    let level = u8::try_from(row.unsigned(0)?).map_err(corrupt_row::<R>)?;
    Ok(Tile { level, index: row.unsigned(1)?, hashes: row.bytes(2)? })
}

/// A negative number is no position; it becomes one at which there is no event.
fn position(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn batch<R: Columns>(row: &R) -> Result<StoredBatch, Unavailable> {
    Ok(StoredBatch {
        first: position(row.required_number(0)?),
        last: position(row.required_number(1)?),
        tag: BatchTag { after: position(row.required_number(2)?), code: row.bytes(3)? },
    })
}

fn checkpoint<R: Columns>(row: &R) -> Result<SignedCheckpoint, Unavailable> {
    Ok(SignedCheckpoint {
        size: position(row.required_number(0)?),
        time: Timestamp::from_micros(row.required_number(1)?),
        note: row.lossy_text(2)?,
        handover: row.flag(3)?,
    })
}

fn not_registered<R: Columns>(_: &[R]) -> Unavailable {
    Unavailable { dependency: R::DEPENDENCY, source: Some("the store did not register a sink".into()) }
}
