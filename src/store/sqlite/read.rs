//! The connections that read, even while the writer or another process writes.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use sqlx::{
    Sqlite, SqlitePool,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqlitePoolOptions, SqliteRow},
};

use super::{error::failed, file, guest::GiveWay, wal::ReadGate};
use crate::{
    ports::Unavailable,
    store::{
        database::{Database, Param, bind_all},
        error::OpenError,
    },
};

/// The maximum number of concurrent reads.
const MAX_CONNECTIONS: u32 = 4;
/// How many rows SQLite's thread reads ahead of the consumer. A large number makes switches between the two
/// rare.
const ROWS_AHEAD: usize = 1024;

/// Reads the store, even while another process writes to it.
#[derive(Clone)]
pub(in crate::store) struct Reader {
    pool: SqlitePool,
    pub(super) gate: Arc<ReadGate>,
    /// For a process beside the one that writes.
    guest: Option<Arc<GiveWay>>,
    /// The sequence number before which this process found every intent closed. With it, only the first
    /// search reads the whole log.
    reconciled_before: Arc<AtomicI64>,
}

// === impl Reader ===

impl Reader {
    /// Opens an existing file read-only.
    ///
    /// # Errors
    ///
    /// [`OpenError`], whose message says what to do.
    pub(in crate::store) async fn open(url: &str) -> Result<Self, OpenError> {
        let path = file::path(url)?;
        if !path.exists() {
            return Err(OpenError::Missing { path });
        }
        let mut reader = Self::from_options(SqliteConnectOptions::new().filename(&path).read_only(true));
        reader.guest = Some(Arc::new(GiveWay::new(&path)));
        file::readable(&reader.pool, &path).await?;
        Ok(reader)
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    pub(super) fn from_options(options: SqliteConnectOptions) -> Self {
        let options = options.pragma("query_only", "ON").row_buffer_size(ROWS_AHEAD);
        // A connection to a file does not break while it is idle, so it needs no test before its use.
        let pool = SqlitePoolOptions::new().max_connections(MAX_CONNECTIONS).test_before_acquire(false);
        let gate: Arc<ReadGate> = Arc::default();
        let watched = Arc::clone(&gate);
        let pool = pool.after_connect(move |connection, _| {
            let gate = Arc::clone(&watched);
            Box::pin(async move { gate.watch(connection).await })
        });
        let pool = pool.connect_lazy_with(options);
        Self { pool, gate, guest: None, reconciled_before: Arc::default() }
    }

    /// All rows of a query. Every read goes through here.
    pub(super) async fn fetch(
        &self,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Vec<SqliteRow>, Unavailable> {
        self.give_way().await;
        let _read = self.gate.begin_read().await;
        query.fetch_all(&self.pool).await.map_err(failed)
    }

    /// A transaction, in which every statement reads the same state.
    pub(super) async fn begin(&self) -> Result<sqlx::Transaction<'static, Sqlite>, Unavailable> {
        self.give_way().await;
        self.pool.begin().await.map_err(failed)
    }

    /// Lets the writer of another process empty its write-ahead log.
    async fn give_way(&self) {
        if let Some(guest) = &self.guest {
            guest.to_writer().await;
        }
    }

    /// The sequence number before which this process found every intent closed.
    pub(super) fn reconciled(&self) -> i64 {
        self.reconciled_before.load(Ordering::Relaxed)
    }

    /// Records that this process found every intent before this sequence number closed.
    pub(super) fn record_reconciled(&self, before: i64) {
        self.reconciled_before.fetch_max(before, Ordering::Relaxed);
    }
}

impl Database for Reader {
    type Row = SqliteRow;

    async fn rows(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<SqliteRow>, Unavailable> {
        self.fetch(bind_all!(sqlx::query(sql), params)).await
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}
