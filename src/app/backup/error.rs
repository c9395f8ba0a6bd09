//! Why a backup or a restore failed.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{
    audit::{
        checkpoint::{CheckpointError, KeyError},
        sequencer::Corruption,
    },
    ports::Unavailable,
    store::OpenError,
};

/// Why a backup or a restore failed, and what to do about it.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The store is a PostgreSQL database.
    #[error(
        "the store is a PostgreSQL database: back it up and restore it with pg_dump or a base backup, and copy the \
         checkpoint key; docs/operations.md#backup-and-restore has the commands"
    )]
    Shared,
    /// The folder of a new backup has files.
    #[error("{0} is not empty: name a new folder for each backup")]
    NotEmpty(PathBuf),
    /// A file cannot be read or written.
    #[error("{path} cannot be read or written")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The store cannot be copied or opened.
    #[error("the store cannot be copied")]
    Store(#[from] OpenError),
    /// The copied store cannot be read.
    #[error("the copy cannot be read")]
    Read(#[from] Unavailable),
    /// The signing key cannot be used.
    #[error("the signing key cannot be included; --without-key makes a backup without it")]
    Key(#[source] KeyError),
    /// The copy does not match its signed checkpoint.
    #[error(
        "the copy does not match its checkpoint and key; if the key was replaced during the backup, run it again"
    )]
    Log(#[source] Corruption),
    /// The manifest is missing or malformed.
    #[error("{path} is not the manifest of a logkey backup: {cause}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A file of the backup is not the one that the manifest names.
    #[error("{path} {cause}: the backup is damaged, use another one")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The difference.
        cause: &'static str,
    },
    /// The backup is of another log than the configuration names.
    #[error(
        "the backup is of the log {backup:?}, but audit.checkpoint_origin is {configured:?}: use the configuration \
         that belongs to the backup"
    )]
    Origin {
        /// The origin in the backup.
        backup: String,
        /// The origin in the configuration.
        configured: String,
    },
    /// A file of another store or key is in the way.
    #[error(
        "{0} exists, and a restore never overwrites it: stop the service and move the file away, together with the \
         files beside it whose names begin with its name"
    )]
    Exists(PathBuf),
    /// The backup has no key, and the configuration's key file does not exist.
    #[error("the backup was made --without-key, and {0} does not exist: put the signing key there first")]
    NoKey(PathBuf),
    /// The key that is in place cannot be used.
    #[error("the signing key that is in place cannot be used")]
    KeyInPlace(#[source] KeyError),
    /// The key did not sign the checkpoint of the backup.
    #[error("the key in {path} did not sign the checkpoint of the backup: use the key that belongs to it")]
    OtherKey {
        /// The key file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: CheckpointError,
    },
}
