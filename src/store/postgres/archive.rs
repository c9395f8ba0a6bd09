//! Removes archived events, and stores up to which event every intent is closed.

use std::time::Duration;

use async_trait::async_trait;

use super::{super::columns::Columns as _, Postgres, read::signed};
use crate::ports::{ArchivedEvents, Unavailable};

/// The number of events that one statement removes.
const STEP: i64 = 2048;
/// The pause between two steps, in which other statements can run.
const PAUSE: Duration = Duration::from_millis(5);
/// The minimum advance of the position before which every intent is closed. Smaller advances are not stored.
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
    /// Stores the sequence number before which every intent is closed, so that other processes need not read
    /// the log from the beginning. If that fails, a later call does it.
    pub(super) async fn remember_reconciled(&self) {
        let reconciled = self.reader.reconciled();
        let query = sqlx::query(
            "UPDATE fact SET value = greatest(value, $1) WHERE name = 'settled_before' AND value <= $1 - $2",
        );
        if let Err(error) = self.reader.rows(query.bind(reconciled).bind(RECONCILED_STEP)).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot store the position before which every intent is closed");
        }
    }

    async fn number(&self, sql: &'static str) -> Result<Option<i64>, Unavailable> {
        let rows = self.reader.rows(sqlx::query(sql)).await?;
        rows.first().map_or(Ok(None), |row| row.number(0))
    }
}
