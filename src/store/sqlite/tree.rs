//! Reads and writes the tree's tiles and checkpoints.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{
    database::Sqlite,
    error::{failed, garbled, unavailable},
    read::Reader,
};
use crate::{
    ports::{SignedCheckpoint, Tile, TreeStore, Unavailable},
    store::{database::Database as _, tree_rows},
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

async fn grow(
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
        tree_rows::newest(self).await
    }

    async fn checkpoints(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        tree_rows::checkpoints(self).await
    }

    async fn tiles(&self, tile_ids: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable> {
        let tile_ids = serde_json::to_string(tile_ids).map_err(garbled)?;
        self.rows(TILES_SQL, &[(&*tile_ids).into()]).await?.iter().map(tree_rows::tile).collect()
    }

    async fn grow(&self, _: &[Tile], _: &SignedCheckpoint) -> Result<(), Unavailable> {
        Err(unavailable(None))
    }
}

#[async_trait]
impl TreeStore for Sqlite {
    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable> {
        tree_rows::newest(&self.reader).await
    }

    async fn checkpoints(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        tree_rows::checkpoints(&self.reader).await
    }

    async fn tiles(&self, tile_ids: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable> {
        self.reader.tiles(tile_ids).await
    }

    async fn grow(&self, tiles: &[Tile], checkpoint: &SignedCheckpoint) -> Result<(), Unavailable> {
        self.with_writer(async |connection| grow(connection, tiles, checkpoint).await).await
    }
}
