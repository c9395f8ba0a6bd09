//! The database file: its path, its lock, its migrations, and the checks of whether it can be used.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use sqlx::{SqliteConnection, SqlitePool, sqlite::SqliteConnectOptions};

use crate::store::{error::OpenError, migrate::SqlFile};

/// Only the owner may read and write the file, because the log contains personal data.
const MODE: u32 = 0o600;

/// The migrations of the schema, in order.
pub(super) const MIGRATIONS: &[SqlFile] = &[
    SqlFile { number: 1, name: "events", sql: include_str!("../migrations/sqlite/0001_events.sql") },
    SqlFile { number: 2, name: "history", sql: include_str!("../migrations/sqlite/0002_history.sql") },
    SqlFile { number: 3, name: "handover", sql: include_str!("../migrations/sqlite/0003_handover.sql") },
    SqlFile { number: 4, name: "sinks", sql: include_str!("../migrations/sqlite/0004_sinks.sql") },
    SqlFile { number: 5, name: "batches", sql: include_str!("../migrations/sqlite/0005_batches.sql") },
    SqlFile { number: 6, name: "bulk", sql: include_str!("../migrations/sqlite/0006_bulk.sql") },
    SqlFile { number: 7, name: "coverage", sql: include_str!("../migrations/sqlite/0007_coverage.sql") },
    SqlFile { number: 8, name: "rules", sql: include_str!("../migrations/sqlite/0008_rules.sql") },
    SqlFile { number: 9, name: "batch_tags", sql: include_str!("../migrations/sqlite/0009_batch_tags.sql") },
    SqlFile {
        number: 10,
        name: "packed_events",
        sql: include_str!("../migrations/sqlite/0010_packed_events.sql"),
    },
    SqlFile { number: 11, name: "page_keys", sql: include_str!("../migrations/sqlite/0011_page_keys.sql") },
];

/// The primary result codes of SQLite (<https://www.sqlite.org/rescode.html>).
pub(super) mod code {
    pub(crate) const BUSY: i32 = 5;
    pub(crate) const READONLY: i32 = 8;
    pub(crate) const CORRUPT: i32 = 11;
    pub(crate) const FULL: i32 = 13;
    pub(crate) const CANTOPEN: i32 = 14;
    pub(crate) const CONSTRAINT: i32 = 19;
    pub(crate) const NOTADB: i32 = 26;
}

/// Exclusive locks on the database file itself and on a file next to it. The system releases them when the
/// process ends in any way. The first one holds under every name of the file. The second one excludes the
/// previous release, which knows only that one.
#[derive(Debug)]
pub(super) struct Lock {
    _database: File,
    _beside: File,
}

/// The path in `sqlite://PATH`.
pub(in crate::store) fn path(url: &str) -> Result<PathBuf, OpenError> {
    if !url.starts_with("sqlite:") {
        return Err(OpenError::Url("it is neither a SQLite nor a PostgreSQL URL"));
    }
    let options =
        SqliteConnectOptions::from_str(url).map_err(|_bad| OpenError::Url("it is not a valid SQLite URL"))?;
    let path = options.get_filename();
    let memory = url.contains(":memory:") || url.contains("mode=memory");
    if memory || path.as_os_str().is_empty() {
        return Err(OpenError::Url("the audit log must be durable, so an in-memory database cannot be used"));
    }
    Ok(path.to_owned())
}

/// Opens the database file. Creates an empty one that only its owner can read, if there is none.
fn create(path: &Path) -> Result<File, OpenError> {
    let not_writable = |source| OpenError::NotWritable { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(MODE);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            // The directory entry has to be durable before the first commit.
            File::open(folder(path)).and_then(|folder| folder.sync_all()).map_err(not_writable)?;
            Ok(file)
        }
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
            options.open(path).map_err(not_writable)
        }
        Err(source) => Err(not_writable(source)),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Tries a write, so that an unwritable file is reported at the start and not at the first call.
pub(super) async fn writable(writer: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK")
        .execute(writer)
        .await
        .map(drop)
        .map_err(|source| classify(path, source))
}

/// Checks that the file can be read and has the schema of this release.
pub(super) async fn readable(pool: &SqlitePool, path: &Path) -> Result<(), OpenError> {
    let read = async |sql: &'static str| sqlx::query(sql).fetch_optional(pool).await;
    read("SELECT seq FROM event LIMIT 1").await.map_err(|source| classify(path, source))?;
    let newest = read("SELECT 1 FROM pragma_table_info('event') WHERE name = 'packed'").await;
    match newest.map_err(|source| classify(path, source))? {
        Some(_row) => Ok(()),
        None => Err(OpenError::Older { path: path.to_owned() }),
    }
}

/// The [`OpenError`] for an error of the database.
pub(super) fn classify(path: &Path, source: sqlx::Error) -> OpenError {
    let path = path.to_owned();
    match result_code(&source) {
        Some(code::CORRUPT | code::NOTADB) => OpenError::Damaged { path, source },
        Some(code::READONLY | code::CANTOPEN) => {
            OpenError::NotWritable { path, source: io::Error::other(source) }
        }
        Some(code::BUSY) => OpenError::InUse { path },
        _ => OpenError::Failed { path, source },
    }
}

/// The primary result code of SQLite. `None` for errors from elsewhere.
pub(super) fn result_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|extended| extended & 0xff)
}

// === impl Lock ===

impl Lock {
    /// Locks the database file, which it creates if there is none.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let mut beside_path = path.to_owned().into_os_string();
        beside_path.push(".lock");
        let beside =
            OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(&beside_path);
        let beside = beside.map_err(|source| OpenError::NotWritable { path: path.to_owned(), source })?;
        let beside = lock(beside, path)?;
        Ok(Self { _database: lock(create(path)?, path)?, _beside: beside })
    }
}

/// Locks a file with `flock`, which is independent of the locks of SQLite.
fn lock(file: File, path: &Path) -> Result<File, OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            // If this process holds the lock, closing the file would release the locks of SQLite on it
            // (<https://www.sqlite.org/howtocorrupt.html>, section 2.2).
            std::mem::forget(file);
            Err(OpenError::InUse { path: absolute(path) })
        }
        Err(TryLockError::Error(source)) => Err(OpenError::NotWritable { path: path.to_owned(), source }),
    }
}

fn absolute(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_missing| path.to_owned())
}

#[cfg(test)]
mod tests;
