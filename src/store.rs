//! The durable store of audit events, key records and requests, in SQLite or PostgreSQL. `app` opens it once
//! at the start; [`open`] returns only a store that can be written.

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

/// The location of the store.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// `sqlite://PATH` or `postgres://…`. It may contain a password, so `Debug` hides it.
    pub url: String,
}

/// A read-only store.
#[derive(Clone)]
pub struct ReadOnlyStore {
    /// Reads events.
    pub log: Arc<dyn EventReader>,
    /// Reads the tree over the events. Extending the tree fails.
    pub tree: Arc<dyn TreeStore>,
}

/// An open store, as the ports that it implements.
#[derive(Clone)]
pub struct Store {
    /// Appends events.
    pub events: Arc<dyn EventStore>,
    /// Reads events.
    pub log: Arc<dyn EventReader>,
    /// Stores the tree over the events.
    pub tree: Arc<dyn TreeStore>,
    /// Reads key records.
    pub history: Arc<dyn KeyHistoryReader>,
    /// Stores observations that do not belong to a change.
    pub observations: Arc<dyn KeyHistoryWriter>,
    /// Finds requests with an idempotency key.
    pub requests: Arc<dyn IdempotencyStore>,
    /// Stores the positions of the sinks.
    pub sinks: Arc<dyn SinkStore>,
    /// Removes archived events.
    pub archived: Arc<dyn ArchivedEvents>,
    /// Whether this process is the leader.
    pub leadership: Arc<dyn Leadership>,
}

/// All ports of a store combined.
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
    /// The URL does not name a supported store.
    #[error(
        "[store] url: {0}; use sqlite://PATH, such as sqlite://logkey.db, or postgres://USER@HOST/DATABASE"
    )]
    Url(&'static str),
    /// Another process uses the store.
    #[error(
        "the store {path} is in use by another process; stop that process, or set another [store] url for this one"
    )]
    InUse {
        /// The database file, or the server and database.
        path: PathBuf,
    },
    /// The file or its folder cannot be read or written.
    #[error(
        "the store {path} cannot be written; give this user write permission for the file and its folder, or set [store] url"
    )]
    NotWritable {
        /// The database file, or the server and database.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
    /// The store does not exist, and this call does not create it.
    #[error("there is no store at {path}; `logkey serve` creates it at its first start")]
    Missing {
        /// The database file, or the server and database.
        path: PathBuf,
    },
    /// The file is not a database, or it is damaged.
    #[error(
        "the store {path} is not a logkey database, or it is damaged; restore it from a backup, or set [store] url to a new file and keep this one for analysis"
    )]
    Damaged {
        /// The database file, or the server and database.
        path: PathBuf,
        /// The error of the database.
        #[source]
        source: sqlx::Error,
    },
    /// The server is not suitable, for example because its commits are not durable.
    #[error("the store {path} cannot be used: the server {reason}")]
    Unfit {
        /// The server and database.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: &'static str,
    },
    /// A newer release wrote the store.
    #[error(
        "the store {path} was written by a newer release (schema version {version}); run that release or a later one"
    )]
    Newer {
        /// The database file, or the server and database.
        path: PathBuf,
        /// The number of a migration that this release does not have.
        version: i64,
    },
    /// An older release wrote the store, and it is opened read-only.
    #[error(
        "the store {path} was written by an older release; start `logkey serve` on it once to upgrade it"
    )]
    Older {
        /// The database file.
        path: PathBuf,
    },
    /// The store cannot be opened for another reason.
    #[error("the store {path} cannot be opened")]
    Failed {
        /// The database file, or the server and database.
        path: PathBuf,
        /// The error of the database.
        #[source]
        source: sqlx::Error,
    },
}

/// Opens the store and creates it if it does not exist. A SQLite store is exclusive to this process; several
/// processes can share a PostgreSQL store.
///
/// # Errors
///
/// [`OpenError`], whose message says what to do.
pub async fn open(config: &Config) -> Result<Store, OpenError> {
    if config.is_shared() {
        Ok(Store::from_backend(&Arc::new(postgres::Postgres::open(&config.url).await?)))
    } else {
        Ok(Store::from_backend(&Arc::new(sqlite::Sqlite::open(&config.url).await?)))
    }
}

/// Opens an existing store read-only, even while other processes write to it.
///
/// # Errors
///
/// [`OpenError`], whose message says what to do.
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
    /// Whether several processes can share the store.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        ["postgres:", "postgresql:"].iter().any(|scheme| self.url.starts_with(scheme))
    }

    /// The database file, in whose folder the other files of the log are. `None` for a server.
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

// === impl ReadOnlyStore ===

impl fmt::Debug for ReadOnlyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadOnlyStore")
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
