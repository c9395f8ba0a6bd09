//! Reads the tree's tiles and checkpoints, which the leader writes, and stores the positions of the sinks.

use async_trait::async_trait;

use super::{database::Postgres, error::unavailable, read::Reader};
use crate::{
    ports::{LeadershipStatus, SignedCheckpoint, SinkPosition, SinkStore, Tile, TreeStore, Unavailable},
    store::{
        columns::{Columns as _, to_i64},
        database::Database as _,
        tree_rows,
    },
};

const TILES_SQL: &str = "\
SELECT level, place, hashes FROM unnest($1::bigint[], $2::bigint[]) AS wanted (level, place)
JOIN tile USING (level, place)";

#[async_trait]
impl TreeStore for Reader {
    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable> {
        tree_rows::newest(self).await
    }

    async fn checkpoints(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        tree_rows::checkpoints(self).await
    }

    async fn tiles(&self, tile_ids: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable> {
        let query = sqlx::query(TILES_SQL)
            .bind(tile_ids.iter().map(|(level, _)| i64::from(*level)).collect::<Vec<_>>())
            .bind(tile_ids.iter().map(|(_, index)| to_i64(*index)).collect::<Vec<_>>());
        self.fetch(query).await?.iter().map(tree_rows::tile).collect()
    }

    async fn grow(&self, _: &[Tile], _: &SignedCheckpoint) -> Result<(), Unavailable> {
        Err(unavailable("the store is open read-only"))
    }
}

#[async_trait]
impl TreeStore for Postgres {
    async fn lead(&self) -> Result<LeadershipStatus, Unavailable> {
        self.leader.lead(&self.server).await
    }

    async fn refuse_untagged(&self) -> Result<bool, Unavailable> {
        self.leader.refuse_untagged().await
    }

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
        self.leader.grow(tiles, checkpoint).await
    }
}

#[async_trait]
impl SinkStore for Postgres {
    async fn register(&self, sinks: &[Box<str>]) -> Result<Vec<SinkPosition>, Unavailable> {
        let names: Vec<&str> = sinks.iter().map(|name| &**name).collect();
        self.reader.fetch(sqlx::query("SELECT enlist($1)").bind(&names)).await?;
        tree_rows::positions(&self.reader, sinks).await
    }

    async fn checkpoints(&self, after: u64, limit: u32) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        tree_rows::checkpoints_after(&self.reader, after, limit).await
    }

    async fn advance(&self, sink: &str, from: SinkPosition, to: SinkPosition) -> Result<(), Unavailable> {
        let params = [
            sink.into(),
            to_i64(from.event).into(),
            to_i64(from.checkpoint).into(),
            to_i64(to.event).into(),
            to_i64(to.checkpoint).into(),
        ];
        let rows = self.reader.rows("SELECT reached($1, $2, $3, $4, $5)", &params).await?;
        let is_reached = rows.first().map(|row| row.flag(0)).transpose()?.unwrap_or_default();
        if is_reached { Ok(()) } else { Err(unavailable("another process feeds the sink")) }
    }
}
