//! Reads and writes the tree's tiles and checkpoints.

use async_trait::async_trait;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    read::{Reader, failed, garbled},
    write,
};
use crate::{
    domain::time::Timestamp,
    ports::{SignedCheckpoint, Tile, TreeStore, Unavailable},
};

const TILES_SQL: &str = "\
SELECT level, place, hashes
FROM json_each($1) AS wanted JOIN tile ON level = wanted.value ->> 0 AND place = wanted.value ->> 1";

/// Stores tiles, which replace shorter ones, and a checkpoint. Of the checkpoints of one hour that every sink
/// has, only the last one stays.
const GROW_SQL: &str = "\
BEGIN IMMEDIATE;
INSERT INTO tile (level, place, hashes)
SELECT value ->> 0, value ->> 1, substr($2, value ->> 2, value ->> 3) FROM json_each($1) WHERE true
ON CONFLICT (level, place) DO UPDATE SET hashes = excluded.hashes;
INSERT INTO checkpoint (size, time, note, handover) VALUES ($3, $4, $5, $6)
ON CONFLICT (size) DO UPDATE SET time = excluded.time, note = excluded.note, handover = excluded.handover;
DELETE FROM checkpoint WHERE size < $3 AND time / 3600000000 = $4 / 3600000000 AND handover = 0
AND size <= (SELECT coalesce(min(checkpoint), $3) FROM sink WHERE active);
COMMIT";

pub(super) async fn grow(
    writer: &mut SqliteConnection,
    tiles: &[Tile],
    checkpoint: &SignedCheckpoint,
) -> Result<(), Unavailable> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut slices = Vec::with_capacity(tiles.len());
    for tile in tiles {
        slices.push((tile.level, tile.index, bytes.len() + 1, tile.hashes.len()));
        bytes.extend(&tile.hashes);
    }
    sqlx::query(GROW_SQL)
        .bind(serde_json::to_string(&slices).map_err(garbled)?)
        .bind(bytes)
        .bind(i64::try_from(checkpoint.size).map_err(garbled)?)
        .bind(checkpoint.time.as_micros())
        .bind(&*checkpoint.note)
        .bind(checkpoint.handover)
        .execute(writer)
        .await
        .map(drop)
        .map_err(failed)
}

#[async_trait]
impl TreeStore for Reader {
    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable> {
        let row = sqlx::query("SELECT size, time, note, handover FROM checkpoint ORDER BY size DESC LIMIT 1")
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        row.as_ref().map(signed).transpose()
    }

    async fn key_rotations(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        let rows = sqlx::query(
            "SELECT size, time, note, handover FROM checkpoint WHERE handover != 0 ORDER BY size",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(signed).collect()
    }

    async fn tiles(&self, tile_ids: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable> {
        let tile_ids = serde_json::to_string(tile_ids).map_err(garbled)?;
        let rows = sqlx::query(TILES_SQL).bind(tile_ids).fetch_all(&self.pool).await.map_err(failed)?;
        let tile = |row: &SqliteRow| {
            Ok(Tile {
                level: u8::try_from(unsigned(row, 0)?).map_err(garbled)?,
                index: unsigned(row, 1)?,
                hashes: row.try_get(2).map_err(failed)?,
            })
        };
        rows.iter().map(tile).collect()
    }

    async fn grow(&self, _: &[Tile], _: &SignedCheckpoint) -> Result<(), Unavailable> {
        Err(write::unavailable(None))
    }
}

pub(super) fn signed(row: &SqliteRow) -> Result<SignedCheckpoint, Unavailable> {
    Ok(SignedCheckpoint {
        size: unsigned(row, 0)?,
        time: Timestamp::from_micros(row.try_get(1).map_err(failed)?),
        note: row.try_get(2).map_err(failed)?,
        handover: row.try_get(3).map_err(failed)?,
    })
}

pub(super) fn unsigned(row: &SqliteRow, at: usize) -> Result<u64, Unavailable> {
    u64::try_from(row.try_get::<i64, _>(at).map_err(failed)?).map_err(garbled)
}
