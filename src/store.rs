//! The durable state: what happened, and what became true with it. Opened once by the composition;
//! [`open`] returns only a store that can be written.

mod batch_loader;
mod columns;
mod event_fields;
mod key_rows;
mod postgres;
mod requests;
pub mod sqlite;

use std::{fmt, io, path::PathBuf, sync::Arc};

use thiserror::Error;

use self::batch_loader::BatchedKeyHistory;
use crate::ports::{
    ArchivedEvents, EventReader, EventStore, IdempotencyStore, KeyHistoryReader, KeyHistoryWriter,
    Leadership, SinkStore, TreeStore,
};

/// Where the store is.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// `sqlite://PATH` or `postgres://…`; it may hold a password, so it does not print itself.
    pub url: String,
}

/// A store that is open for reading only.
#[derive(Clone)]
pub struct ReadOnlyStore {
    /// The events.
    pub log: Arc<dyn EventReader>,
    /// The tree over them; it cannot be made to grow.
    pub tree: Arc<dyn TreeStore>,
}

/// An open store, as the ports it keeps.
#[derive(Clone)]
pub struct Store {
    /// Takes events.
    pub events: Arc<dyn EventStore>,
    /// Gives them back.
    pub log: Arc<dyn EventReader>,
    /// Holds the tree over them.
    pub tree: Arc<dyn TreeStore>,
    /// Tells which key was when on what.
    pub history: Arc<dyn KeyHistoryReader>,
    /// Keeps what was seen outside of a change.
    pub observations: Arc<dyn KeyHistoryWriter>,
    /// Remembers requests that came with an id of their own.
    pub requests: Arc<dyn IdempotencyStore>,
    /// How far the sinks have come.
    pub sinks: Arc<dyn SinkStore>,
    /// Lets go of what was archived.
    pub archived: Arc<dyn ArchivedEvents>,
    /// Says which process does what only one may do.
    pub leadership: Arc<dyn Leadership>,
}

/// All ports of a store at once.
trait Backend:
    EventStore
    + EventReader
    + TreeStore
    + KeyHistoryReader
    + KeyHistoryWriter
    + IdempotencyStore
    + SinkStore
    + ArchivedEvents
    + Leadership
{
}

/// Why the store cannot be used, and what to do about it.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Not a URL of a store that we know.
    #[error(
        "[store] url: {0}: write sqlite://PATH, such as sqlite://logkey.db, or postgres://USER@HOST/DATABASE"
    )]
    Url(&'static str),
    /// Another process has it.
    #[error(
        "the store {path} is in use by another process: stop that one first, or give this one a [store] url of its own"
    )]
    InUse {
        /// The database file, or where the server is.
        path: PathBuf,
    },
    /// The file or its folder cannot be read or written.
    #[error(
        "the store {path} cannot be written: give this user the right to write the file and its folder, or set [store] url"
    )]
    NotWritable {
        /// The database file, or where the server is.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is none, and none is to be made.
    #[error("there is no store at {path}: `logkey serve` makes it at its first start")]
    Missing {
        /// The database file, or where the server is.
        path: PathBuf,
    },
    /// Not a database, or a damaged one.
    #[error(
        "the store {path} is not a database of logkey, or is damaged: restore it from a backup, or set [store] url to a new file and keep this one for examination"
    )]
    Damaged {
        /// The database file, or where the server is.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The server does not keep what it is told, or is another than it should be.
    #[error("the store {path} cannot be used: the server {reason}")]
    Unfit {
        /// Where the server is.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: &'static str,
    },
    /// Written by a newer release.
    #[error(
        "the store {path} was written by a newer release (its schema is number {version}): run that release or a later one"
    )]
    Newer {
        /// The database file, or where the server is.
        path: PathBuf,
        /// The number of a migration that is not known here.
        version: i64,
    },
    /// Written by an older release, and only to be read.
    #[error(
        "the store {path} was written by an older release: start `logkey serve` on it once, which brings it up to date"
    )]
    Older {
        /// The database file.
        path: PathBuf,
    },
    /// Anything else.
    #[error("the store {path} cannot be opened")]
    Failed {
        /// The database file, or where the server is.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
}

/// Opens the store, and makes it if there is none: SQLite for this process alone, PostgreSQL as one of those
/// that share it.
///
/// # Errors
///
/// [`OpenError`], with what to do.
pub async fn open(config: &Config) -> Result<Store, OpenError> {
    if config.is_shared() {
        Ok(Store::from_backend(&Arc::new(postgres::Postgres::open(&config.url).await?)))
    } else {
        Ok(Store::from_backend(&Arc::new(sqlite::Sqlite::open(&config.url).await?)))
    }
}

/// Opens an existing store for reading, also while other processes write it.
///
/// # Errors
///
/// [`OpenError`], with what to do.
pub async fn open_reader(config: &Config) -> Result<ReadOnlyStore, OpenError> {
    if config.is_shared() {
        let reader = Arc::new(postgres::Reader::open(&config.url).await?);
        Ok(ReadOnlyStore { log: reader.clone(), tree: reader })
    } else {
        let reader = Arc::new(sqlite::Reader::open(&config.url).await?);
        Ok(ReadOnlyStore { log: reader.clone(), tree: reader })
    }
}

// === impl Config ===

impl Config {
    /// Whether several processes can share it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        ["postgres:", "postgresql:"].iter().any(|scheme| self.url.starts_with(scheme))
    }

    /// The database file, beside which other files of the log are kept; none for a server.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        sqlite::path(&self.url).ok()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.split(':').next().unwrap_or_default();
        write!(f, "Config({scheme}:…)")
    }
}

// === impl Readable ===

impl fmt::Debug for ReadOnlyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readable")
    }
}

// === impl Store ===

impl Backend for sqlite::Sqlite {}
impl Backend for postgres::Postgres {}

impl Store {
    fn from_backend<S: Backend>(store: &Arc<S>) -> Self {
        Self {
            events: store.clone(),
            log: store.clone(),
            tree: store.clone(),
            history: Arc::new(BatchedKeyHistory::new(store.clone())),
            observations: store.clone(),
            requests: store.clone(),
            sinks: store.clone(),
            archived: store.clone(),
            leadership: store.clone(),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}
