//! Removes archived events, and stores up to which event every intent is closed.

use async_trait::async_trait;

use super::{database::Postgres, read::Reader};
use crate::{
    ports::{ArchivedEvents, RequestLock, Unavailable},
    store::{
        columns::to_i64,
        database::Database as _,
        event_log::EventLog,
        removal::{self, PAUSE, RECONCILED_STEP},
        tree_rows,
    },
};

/// The number of events that one statement removes.
const STEP: i64 = 2048;
/// The lock of the process that archives. No lock of a request has this name, because those contain a slash.
const ARCHIVE_LOCK: &str = "archive";
const REMEMBER_SQL: &str =
    "UPDATE fact SET value = greatest(value, $1) WHERE name = 'settled_before' AND value <= $1 - $2";

#[async_trait]
impl ArchivedEvents for Postgres {
    async fn read_through(&self) -> Result<Option<u64>, Unavailable> {
        tree_rows::read_through(&self.reader).await
    }

    async fn remove_through(&self, seq: u64) -> Result<(), Unavailable> {
        for through in removal::steps(&self.reader, to_i64(seq), STEP).await? {
            self.reader.rows("DELETE FROM event WHERE seq <= $1", &[through.into()]).await?;
            self.reader.rows("DELETE FROM batch_tag WHERE last <= $1", &[through.into()]).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn lock_archive(&self) -> Result<Option<RequestLock>, Unavailable> {
        self.locks.acquire(ARCHIVE_LOCK.to_owned()).await
    }
}

impl EventLog for Postgres {
    type Reader = Reader;

    fn reader(&self) -> &Reader {
        &self.reader
    }

    async fn remember_reconciled(&self) {
        let params = [self.reader.reconciled().into(), RECONCILED_STEP.into()];
        if let Err(error) = self.reader.rows(REMEMBER_SQL, &params).await {
            removal::log_not_remembered(&error);
        }
    }
}
