//! Keeps the write-ahead log short, however busy the readers are. SQLite starts it again only at a moment
//! without readers (<https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files>). If it is long, new
//! reads wait for a moment, reads that take too long are interrupted, and the log is emptied.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{Row as _, SqliteConnection};
use tokio::{
    sync::{Notify, RwLock, RwLockReadGuard},
    time::timeout,
};

use super::{
    error::{failed, unavailable},
    file,
    writer::Writer,
};
use crate::{ports::Unavailable, store::error::OpenError};

/// The length in bytes from which the write-ahead log is emptied.
pub(super) const MAX_WAL: u64 = 32 << 20;
/// How long a read may go on while the write-ahead log waits to be emptied.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the length is measured, also without writes.
const INTERVAL: Duration = Duration::from_secs(1);
/// The delay after an attempt that failed, because another program reads the file. Each further delay is twice
/// as long, up to the maximum.
const RETRY_AFTER: Duration = Duration::from_millis(500);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);
/// After so many instructions of SQLite's machine, a read looks whether it has to end.
pub(super) const INSTRUCTIONS: i32 = 10_000;

/// Waits only briefly for readers of other processes, because the writer waits meanwhile.
const SHORT_TIMEOUT_SQL: &str = "PRAGMA busy_timeout = 50";
const EMPTY_SQL: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
const BUSY_TIMEOUT_SQL: &str = "PRAGMA busy_timeout = 5000";

/// Lets reads begin, or holds them back.
#[derive(Debug, Default)]
pub(super) struct ReadGate {
    reads: RwLock<()>,
    interrupt: Arc<AtomicBool>,
}

/// Counts what is written, and wakes the task that empties the log.
#[derive(Debug, Default)]
pub(super) struct WalMeter {
    written: AtomicU64,
    long: Notify,
}

/// The task that empties the log. It ends with the store.
struct WalTask {
    wal: PathBuf,
    writer: Weak<Writer>,
    gate: Arc<ReadGate>,
    meter: Arc<WalMeter>,
}

// === impl ReadGate ===

impl ReadGate {
    /// Waits until a read may begin. It goes on until the guard is dropped.
    pub(super) async fn begin_read(&self) -> RwLockReadGuard<'_, ()> {
        self.reads.read().await
    }

    /// Makes the reads of a new connection end when they have to.
    pub(super) async fn watch(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let interrupt = Arc::clone(&self.interrupt);
        let may_go_on = move || !interrupt.load(Ordering::Relaxed);
        connection.lock_handle().await?.set_progress_handler(INSTRUCTIONS, may_go_on);
        Ok(())
    }

    /// Runs `work` while there are no reads. Reads that take too long fail.
    async fn without_reads<T>(&self, work: impl Future<Output = T>) -> T {
        let all = if let Ok(all) = timeout(READ_TIMEOUT, self.reads.write()).await {
            all
        } else {
            self.interrupt.store(true, Ordering::Relaxed);
            let all = self.reads.write().await;
            self.interrupt.store(false, Ordering::Relaxed);
            all
        };
        let done = work.await;
        drop(all);
        done
    }
}

// === impl WalMeter ===

impl WalMeter {
    /// Records that so many bytes were written.
    pub(super) fn add(&self, bytes: usize) {
        let before = self.written.fetch_add(bytes as u64, Ordering::Relaxed);
        if before + bytes as u64 >= MAX_WAL / 2 {
            self.written.store(0, Ordering::Relaxed);
            self.long.notify_one();
        }
    }
}

/// The path of the write-ahead log of this database file.
pub(super) fn path(database: &Path) -> PathBuf {
    let mut wal = fs::canonicalize(database).unwrap_or_else(|_gone| database.to_owned()).into_os_string();
    wal.push("-wal");
    wal.into()
}

/// The length of the write-ahead log in bytes.
pub(super) fn length(wal: &Path) -> u64 {
    fs::metadata(wal).map_or(0, |file| file.len())
}

/// Puts on disk what readers of the database of this URL see. What is not in the write-ahead log is synced
/// already, because SQLite begins the log again only after it has synced the database.
pub(in crate::store) fn sync(url: &str) -> Result<(), OpenError> {
    let database = file::path(url)?;
    let wal = path(&database);
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    let synced = match sync(&wal) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(()) => wal.parent().map_or(Ok(()), sync),
        failed => failed,
    };
    synced.map_err(|source| OpenError::NotWritable { path: database, source })
}

/// Starts the task for the store in this file. Needs a runtime.
pub(super) fn spawn(database: &Path, writer: &Arc<Writer>, gate: Arc<ReadGate>) -> Arc<WalMeter> {
    let meter = Arc::new(WalMeter::default());
    let task =
        WalTask { wal: path(database), writer: Arc::downgrade(writer), gate, meter: Arc::clone(&meter) };
    tokio::spawn(task.run());
    meter
}

// === impl WalTask ===

impl WalTask {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no file has 2^53 bytes")]
    async fn run(self) {
        let mut retry_after = RETRY_AFTER;
        loop {
            // After the interval or a notification, the length is measured.
            drop(timeout(INTERVAL, self.meter.long.notified()).await);
            let Some(writer) = self.writer.upgrade() else { return };
            let length = length(&self.wal);
            metrics::gauge!("logkey_store_wal_bytes").set(length as f64);
            if length < MAX_WAL {
                continue;
            }
            let emptied = self.gate.without_reads(empty(&writer)).await;
            drop(writer);
            if emptied.unwrap_or_default() {
                retry_after = RETRY_AFTER;
                continue;
            }
            // The commands of this program give way after a moment.
            if retry_after > RETRY_AFTER {
                tracing::warn!(
                    bytes = length,
                    "the write-ahead log of the store cannot be emptied: another program reads the database file"
                );
            }
            tokio::time::sleep(retry_after).await;
            retry_after = retry_after.saturating_mul(2).min(MAX_RETRY_AFTER);
        }
    }
}

/// Copies the log into the database file and empties it. Returns `false` if a reader prevented it.
async fn empty(writer: &Writer) -> Result<bool, Unavailable> {
    let empty = async |connection: &mut SqliteConnection| {
        sqlx::query(SHORT_TIMEOUT_SQL).execute(&mut *connection).await.map_err(failed)?;
        let row = sqlx::query(EMPTY_SQL).fetch_one(&mut *connection).await.map_err(failed)?;
        sqlx::query(BUSY_TIMEOUT_SQL).execute(connection).await.map_err(failed)?;
        Ok(row.try_get::<i64, _>(0).map_err(failed)? == 0)
    };
    writer.checkout(|| unavailable(None), empty).await
}
