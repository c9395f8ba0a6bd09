//! Why the store cannot be used.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::domain::connection::failed_step;

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
    /// During a copy, the service wrote so much that the copy would keep its write-ahead log from being emptied.
    #[error(
        "the copy of {path} was stopped, because the service wrote more than 1 GiB meanwhile and cannot empty its write-ahead log before the copy ends; try again when it writes less, or archive old events first"
    )]
    WrittenTooFast {
        /// The database file.
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
    #[error("the store {path} cannot be opened{}", step(source))]
    Failed {
        /// The database file, or the server and database.
        path: PathBuf,
        /// The error of the database.
        #[source]
        source: sqlx::Error,
    },
}

/// The step at which the connection failed, if the error shows it.
fn step(error: &sqlx::Error) -> String {
    failed_step(error).map_or_else(String::new, |step| format!(": {step}"))
}
