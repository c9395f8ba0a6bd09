//! The files of a log in the tlog-tiles layout (<https://c2sp.org/tlog-tiles>): an archive or an export, in a folder or
//! in a bucket.

use std::fmt;

use async_trait::async_trait;
use thiserror::Error;

use super::{sink::Cause, unavailable::Unavailable};

/// Reads and writes the files of a log. A path is relative, such as `tile/entries/000`.
#[async_trait]
pub trait LogFiles: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Prepares the place, so that a file that is written stays after a power failure.
    async fn prepare(&self) -> Result<(), FilesError>;

    /// The content of a file. `None` if it does not exist.
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, FilesError>;

    /// Writes a file. An interruption may leave a part of it.
    async fn write(&self, path: &str, content: Vec<u8>) -> Result<(), FilesError>;

    /// Writes or atomically replaces a file. When this returns, the file and all those that were written before are
    /// durable.
    async fn replace(&self, path: &str, content: Vec<u8>) -> Result<(), FilesError>;
}

/// A file that cannot be read or written.
#[derive(Debug, Error)]
#[error("{file} cannot be {operation}")]
pub struct FilesError {
    /// The file, with its folder or bucket.
    pub file: String,
    /// `read` or `written`.
    pub operation: &'static str,
    /// The cause.
    #[source]
    pub source: Cause,
}

impl From<FilesError> for Unavailable {
    fn from(error: FilesError) -> Self {
        Self { dependency: "archive", source: Some(error.into()) }
    }
}
