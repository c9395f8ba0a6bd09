//! The store in one SQLite file in WAL mode, synced at every commit. One process writes it through one
//! connection. Readers use a small pool and never wait for the writer.

mod archive;
mod file;
mod history;
mod read;
mod request;
mod select;
mod sinks;
mod tree;
mod write;
mod writer;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use sqlx::{
    Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

pub(super) use self::file::path;
pub use self::read::Reader;
use self::{file::Lock, writer::Writer};
use super::OpenError;
use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{
        AppendError, Batch, EventFilter, EventReader, EventStore, IndexCheckedEvent, Leadership,
        SignedCheckpoint, SinkPosition, SinkStore, StoredEvent, Tile, TreeStore, Unavailable,
    },
};

/// The store, with the lock that excludes other processes.
#[derive(Debug)]
pub struct Sqlite {
    options: SqliteConnectOptions,
    writer: Arc<Writer>,
    /// The sequence number of the next event. Only the holder of the writer changes it.
    next: AtomicI64,
    reader: Reader,
    _lock: Lock,
}

// === impl Sqlite ===

impl Sqlite {
    /// Opens the file exclusively for this process, creates it if it does not exist, and upgrades its schema.
    ///
    /// # Errors
    ///
    /// [`OpenError`], whose message says what to do.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let path = file::path(url)?;
        let lock = Lock::take(&path)?;
        file::create(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .statement_cache_capacity(write::STATEMENT_CACHE)
            // A cache of 16 MiB holds the right-hand side of every index.
            .pragma("cache_size", "-16384");
        let mut writer = connect(&options, &path).await?;
        file::writable(&mut writer, &path).await?;
        file::migrate(&mut writer, &path).await?;
        let next = write::next(&mut writer).await.map_err(|source| file::classify(&path, source))?.into();
        let reader = Reader::from_options(SqliteConnectOptions::new().filename(&path).read_only(true));
        Ok(Self { options, writer: Arc::new(Writer::new(writer)), next, reader, _lock: lock })
    }
}

async fn connect(options: &SqliteConnectOptions, path: &Path) -> Result<SqliteConnection, OpenError> {
    SqliteConnection::connect_with(options).await.map_err(|source| file::classify(path, source))
}

#[async_trait]
impl EventStore for Sqlite {
    async fn append(&self, batch: Arc<Batch>) -> Result<Option<u64>, AppendError> {
        let closed = || AppendError::NotWritten(write::unavailable(None));
        let append = async |connection: &mut SqliteConnection| {
            let first = self.next.load(Ordering::Relaxed);
            write::append(connection, &batch, first).await?;
            let events = i64::try_from(batch.events.len()).unwrap_or(i64::MAX);
            self.next.fetch_add(events, Ordering::Relaxed);
            Ok(first)
        };
        let first = self.writer.checkout(closed, append).await?;
        Ok(u64::try_from(first).ok())
    }

    async fn recover(&self, doubtful: Option<EventId>) -> Result<bool, Unavailable> {
        let mut writer = self.writer.reopen().await;
        let mut connection = SqliteConnection::connect_with(&self.options)
            .await
            .map_err(|source| write::unavailable(Some(source)))?;
        let stored = write::recover(&mut connection, doubtful).await?;
        let next = write::next(&mut connection).await.map_err(|source| write::unavailable(Some(source)))?;
        self.next.store(next, Ordering::Relaxed);
        *writer = Some(connection);
        Ok(stored)
    }
}

/// The lock guarantees that there is only one process.
impl Leadership for Sqlite {
    fn is_leader(&self) -> bool {
        true
    }

    fn is_single_node(&self) -> bool {
        true
    }
}

#[async_trait]
impl EventReader for Sqlite {
    async fn list(
        &self,
        filter: &EventFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        self.reader.list(filter, before, limit).await
    }

    async fn next(
        &self,
        filter: &EventFilter,
        through: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        self.reader.next(filter, through, limit).await
    }

    async fn after(&self, seq: u64, limit: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        self.reader.after(seq, limit).await
    }

    async fn index_check(&self, seq: u64, limit: u32) -> Result<Vec<IndexCheckedEvent>, Unavailable> {
        self.reader.index_check(seq, limit).await
    }

    async fn open_intents(&self, before: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        let found = self.reader.open_intents(before).await?;
        self.remember_reconciled().await;
        Ok(found)
    }

    async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        self.reader.find(id).await
    }
}

#[async_trait]
impl TreeStore for Sqlite {
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
        self.with_writer(async |connection| tree::grow(connection, tiles, checkpoint).await).await
    }
}

#[async_trait]
impl SinkStore for Sqlite {
    async fn register(&self, sinks: &[Box<str>]) -> Result<Vec<SinkPosition>, Unavailable> {
        self.with_writer(async |connection| sinks::register(connection, sinks).await).await
    }

    async fn checkpoints(&self, after: u64, limit: u32) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        self.reader.checkpoints(after, limit).await
    }

    async fn advance(&self, sink: &str, from: SinkPosition, to: SinkPosition) -> Result<(), Unavailable> {
        self.with_writer(async |connection| sinks::advance(connection, sink, from, to).await).await
    }
}

// === impl Sqlite ===

impl Sqlite {
    /// Runs a write outside the journal.
    async fn with_writer<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Unavailable>,
    ) -> Result<T, Unavailable> {
        self.writer.checkout(|| write::unavailable(None), work).await
    }
}
