//! Moves the oldest events to files in the tlog-tiles layout and removes them from the store. The tree
//! stays complete. Nothing is removed before the archive is on disk, was read again, and is named by a
//! signed event of the log.

pub(super) mod archive_reader;
mod error;
mod run;
mod verified_archive;

pub use self::{
    archive_reader::{ArchiveReadError, ArchiveReader},
    error::ArchiveError,
    run::{ArchiveInputs, ArchiveReport, archive, archive_batch},
    verified_archive::VerifiedArchive,
};
