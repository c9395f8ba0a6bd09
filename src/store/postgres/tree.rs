//! Reads and writes the tree's tiles, the checkpoints and the positions of the sinks.

use async_trait::async_trait;
use sqlx::{Row as _, postgres::PgRow};

use super::{
    super::columns::{Columns as _, corrupt_row},
    Postgres,
    read::{Reader, signed},
    write::unavailable,
};
use crate::{
    domain::time::Timestamp,
    ports::{LeadershipStatus, SignedCheckpoint, SinkPosition, SinkStore, Tile, TreeStore, Unavailable},
};

const TILES_SQL: &str = "\
SELECT level, place, hashes FROM unnest($1::bigint[], $2::bigint[]) AS wanted (level, place)
JOIN tile USING (level, place)";

#[async_trait]
impl TreeStore for Reader {
    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable> {
        let newest =
            sqlx::query("SELECT size, time, note, handover FROM checkpoint ORDER BY size DESC LIMIT 1");
        self.rows(newest).await?.first().map(checkpoint).transpose()
    }

    async fn key_rotations(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        let all =
            sqlx::query("SELECT size, time, note, handover FROM checkpoint WHERE handover ORDER BY size");
        self.rows(all).await?.iter().map(checkpoint).collect()
    }

    async fn tiles(&self, tile_ids: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable> {
        let query = sqlx::query(TILES_SQL)
            .bind(tile_ids.iter().map(|(level, _)| i64::from(*level)).collect::<Vec<_>>())
            .bind(tile_ids.iter().map(|(_, index)| signed(*index)).collect::<Vec<_>>());
        let tile = |row: &PgRow| {
            Ok(Tile {
                level: u8::try_from(row.required_number(0)?).map_err(corrupt_row::<PgRow>)?,
                index: unsigned(row, 1)?,
                hashes: row.try_get(2).map_err(corrupt_row::<PgRow>)?,
            })
        };
        self.rows(query).await?.iter().map(tile).collect()
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

    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable> {
        self.reader.checkpoint().await
    }

    async fn key_rotations(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        self.reader.key_rotations().await
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
        self.reader.rows(sqlx::query("SELECT enlist($1)").bind(&names)).await?;
        let mut positions = Vec::with_capacity(names.len());
        for name in names {
            let query = sqlx::query("SELECT event, checkpoint FROM sink WHERE name = $1").bind(name);
            let rows = self.reader.rows(query).await?;
            let row = rows.first().ok_or_else(|| unavailable("the store did not register a sink"))?;
            positions.push(SinkPosition { event: unsigned(row, 0)?, checkpoint: unsigned(row, 1)? });
        }
        Ok(positions)
    }

    async fn checkpoints(&self, after: u64, limit: u32) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        let query = sqlx::query(
            "SELECT size, time, note, handover FROM checkpoint WHERE size > $1 ORDER BY size LIMIT $2",
        );
        let query = query.bind(signed(after)).bind(i64::from(limit));
        self.reader.rows(query).await?.iter().map(checkpoint).collect()
    }

    async fn advance(&self, sink: &str, from: SinkPosition, to: SinkPosition) -> Result<(), Unavailable> {
        let query = sqlx::query("SELECT reached($1, $2, $3, $4, $5)")
            .bind(sink)
            .bind(signed(from.event))
            .bind(signed(from.checkpoint))
            .bind(signed(to.event))
            .bind(signed(to.checkpoint));
        let rows = self.reader.rows(query).await?;
        let reached = rows.first().map(|row| row.try_get::<bool, _>(0)).transpose().map_err(unavailable)?;
        if reached == Some(true) { Ok(()) } else { Err(unavailable("another process feeds the sink")) }
    }
}

fn checkpoint(row: &PgRow) -> Result<SignedCheckpoint, Unavailable> {
    Ok(SignedCheckpoint {
        size: unsigned(row, 0)?,
        time: Timestamp::from_micros(row.required_number(1)?),
        note: row.required_text(2)?.to_owned(),
        handover: row.try_get(3).map_err(corrupt_row::<PgRow>)?,
    })
}

fn unsigned(row: &PgRow, at: usize) -> Result<u64, Unavailable> {
    u64::try_from(row.required_number(at)?).map_err(corrupt_row::<PgRow>)
}
