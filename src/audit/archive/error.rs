//! Why a run did not archive all it should.

use thiserror::Error;

use super::archive_reader::ArchiveReadError;
use crate::{
    audit::{export::ExportError, prove::ProofError},
    ports::{AuditUnavailable, Unavailable, log_files::FilesError},
};

/// Why a run did not archive all it should. No event is lost, and the next run continues.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The store is not available.
    #[error("the audit log cannot be read or written")]
    Unavailable(#[from] Unavailable),
    /// The `Archive` event cannot be recorded.
    #[error("the audit log cannot be written")]
    Audit(#[from] AuditUnavailable),
    /// The archive's files cannot be written.
    #[error("the archive cannot be written")]
    Write(#[from] ExportError),
    /// A file of the archive cannot be read or written.
    #[error("the archive cannot be read or written")]
    Files(#[from] FilesError),
    /// Another process is archiving.
    #[error("another process is archiving events of this log: wait until it has finished")]
    Busy,
    /// The archive is not one of this log.
    #[error("this is not an archive of this log")]
    Other(#[source] ArchiveReadError),
    /// Earlier events were moved to another archive.
    #[error(
        "the archive holds the events up to {archived}, but the log begins at {first}: name the archive to which the events between them were moved"
    )]
    Elsewhere {
        /// The last event in the archive.
        archived: u64,
        /// The first event in the log.
        first: u64,
    },
    /// The newest checkpoint does not cover the events to be archived.
    #[error(
        "the events up to {last} are old enough, but the newest checkpoint covers only {size}: try again when a checkpoint covers them"
    )]
    NotCovered {
        /// The last event that is old enough.
        last: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The events are not the signed ones.
    #[error("the events do not match the log's signed checkpoint: run `logkey audit verify`")]
    Root,
    /// The archive's checkpoint cannot be signed.
    #[error("the archive's checkpoint cannot be signed")]
    Sign,
    /// The proof that the log continues the archive cannot be computed.
    #[error("the log's tree cannot be read")]
    Tree(#[from] ProofError),
    /// No checkpoint covered the `Archive` event in time.
    #[error("no checkpoint covers the `Archive` event yet, so no event was removed: run the command again")]
    NotSigned,
}

// === impl ArchiveError ===

impl From<ArchiveReadError> for ArchiveError {
    fn from(error: ArchiveReadError) -> Self {
        match error {
            ArchiveReadError::Files(error) => Self::Files(error),
            ArchiveReadError::Missing(_) | ArchiveReadError::Checkpoint(_) => Self::Other(error),
        }
    }
}
