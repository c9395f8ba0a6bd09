//! What keeps the log no longer than it must be: events that were moved out are removed, and what was found
//! settled is remembered.

use std::time::Duration;

use async_trait::async_trait;

use super::{super::columns::Columns as _, Postgres, read::signed};
use crate::ports::{ArchivedEvents, Unavailable};

/// Events removed at once.
const STEP: i64 = 2048;
/// What is left to others between two steps.
const PAUSE: Duration = Duration::from_millis(5);
/// How far the place before which all is settled moves before it is written down.
const RECONCILED_STEP: i64 = 1024;

#[async_trait]
impl ArchivedEvents for Postgres {
    async fn read_through(&self) -> Result<Option<u64>, Unavailable> {
        let min = self.number("SELECT min(event) FROM sink WHERE active").await?;
        Ok(min.map(|min| u64::try_from(min).unwrap_or_default()))
    }

    async fn remove_through(&self, seq: u64) -> Result<(), Unavailable> {
        let last = signed(seq);
        let first = self.number("SELECT min(seq) FROM event").await?;
        let mut through = first.unwrap_or(i64::MAX).saturating_sub(1);
        while through < last {
            through = through.saturating_add(STEP).min(last);
            self.reader.rows(sqlx::query("DELETE FROM event WHERE seq <= $1").bind(through)).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

impl Postgres {
    /// Writes down before which place all is settled, so that the next look of another process need not read
    /// from the beginning. Where that cannot be done it is done later.
    pub(super) async fn remember_reconciled(&self) {
        let reconciled = self.reader.reconciled();
        let query = sqlx::query(
            "UPDATE fact SET value = greatest(value, $1) WHERE name = 'settled_before' AND value <= $1 - $2",
        );
        if let Err(error) = self.reader.rows(query.bind(reconciled).bind(RECONCILED_STEP)).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "what is settled is not written down");
        }
    }

    async fn number(&self, sql: &'static str) -> Result<Option<i64>, Unavailable> {
        let rows = self.reader.rows(sqlx::query(sql)).await?;
        rows.first().map_or(Ok(None), |row| row.number(0))
    }
}
