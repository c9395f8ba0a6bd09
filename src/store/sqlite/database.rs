//! The open database: the writer, the readers, and the lock that excludes other processes.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicI64},
};

use parking_lot::Mutex;
use sqlx::{
    Connection as _, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    error::{failed, garbled, unavailable},
    file::{self, Lock},
    packed_event::Packer,
    read::Reader,
    upgrade,
    wal::{self, WalMeter},
    write,
    writer::Writer,
};
use crate::{
    ports::{Unavailable, upgrade::UpgradeProgress},
    store::error::OpenError,
};

/// The store, with the lock that excludes other processes.
#[derive(Debug)]
pub(in crate::store) struct Sqlite {
    pub(super) options: SqliteConnectOptions,
    pub(super) writer: Arc<Writer>,
    /// The sequence number of the next event. Only the holder of the writer changes it.
    pub(super) next: AtomicI64,
    /// The number of events in a batch of which it is not known whether it is stored.
    pub(super) appending: AtomicI64,
    pub(super) packer: Packer,
    pub(super) reader: Reader,
    pub(super) wal: Arc<WalMeter>,
    /// `None` after the store was closed.
    pub(super) lock: Mutex<Option<Lock>>,
}

// === impl Sqlite ===

impl Sqlite {
    /// Opens the file exclusively for this process, creates it if it does not exist, and upgrades its schema.
    ///
    /// # Errors
    ///
    /// [`OpenError`], whose message says what to do.
    pub(in crate::store) async fn open(url: &str, progress: &UpgradeProgress) -> Result<Self, OpenError> {
        let path = file::path(url)?;
        let lock = Mutex::new(Some(Lock::take(&path)?));
        prepare_empty(&path).await?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .statement_cache_capacity(write::STATEMENT_CACHE)
            .pragma("journal_size_limit", wal::MAX_WAL.to_string())
            // A cache of 16 MiB holds the right-hand side of every index.
            .pragma("cache_size", "-16384");
        let mut writer = connect(&options, &path).await?;
        file::writable(&mut writer, &path).await?;
        upgrade::migrate(&mut writer, &path, progress).await?;
        let next = write::next(&mut writer).await.map_err(|source| file::classify(&path, source))?.into();
        let reader = Reader::from_options(SqliteConnectOptions::new().filename(&path).read_only(true));
        let (writer, appending) = (Arc::new(Writer::new(writer)), AtomicI64::default());
        let wal = wal::spawn(&path, &writer, Arc::clone(&reader.gate));
        let packer = Packer::new();
        Ok(Self { options, writer, next, appending, packer, reader, wal, lock })
    }

    /// Runs a write outside the journal.
    pub(super) async fn with_writer<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Unavailable>,
    ) -> Result<T, Unavailable> {
        self.writer.checkout(|| unavailable(None), work).await
    }

    /// Runs one write outside the journal on a separate task, so that a cancelled call does not interrupt it
    /// and thereby cost the journal its connection.
    pub(super) async fn write(
        &self,
        query: Query<'static, sqlx::Sqlite, SqliteArguments>,
    ) -> Result<(), Unavailable> {
        let writer = Arc::clone(&self.writer);
        let written = tokio::spawn(async move {
            let write =
                async |connection: &mut SqliteConnection| query.execute(connection).await.map_err(failed);
            writer.checkout(|| unavailable(None), write).await
        });
        written.await.map_err(garbled)?.map(drop)
    }
}

/// Makes an empty file one that can shrink. SQLite decides that before it writes anything else to the file
/// (<https://www.sqlite.org/pragma.html#pragma_auto_vacuum>), also before it begins a write-ahead log.
async fn prepare_empty(path: &Path) -> Result<(), OpenError> {
    if fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        return Ok(());
    }
    let options = SqliteConnectOptions::new().filename(path).auto_vacuum(SqliteAutoVacuum::Incremental);
    let mut file = connect(&options, path).await?;
    let failed = |source| file::classify(path, source);
    sqlx::query("VACUUM").execute(&mut file).await.map_err(failed)?;
    file.close().await.map_err(failed)
}

async fn connect(options: &SqliteConnectOptions, path: &Path) -> Result<SqliteConnection, OpenError> {
    SqliteConnection::connect_with(options).await.map_err(|source| file::classify(path, source))
}
