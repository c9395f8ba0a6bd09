//! Signed checkpoints (C2SP tlog-checkpoint as a signed note with Ed25519), and the key for them.

mod key;

use std::{
    io,
    path::{Path, PathBuf},
};

use signed_note::{Note, StandardVerifier, VerifierList};
use thiserror::Error;
use tlog_tiles::Checkpoint;

pub use self::key::SigningKey;

/// Longest note that is read, in bytes.
const MAX_NOTE: usize = 64 * 1024;

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("the checkpoint key {path} cannot be read or made")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "the checkpoint key {path} is not an Ed25519 key in PEM form: make one with openssl genpkey -algorithm ed25519"
    )]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// It holds two keys already.
    #[error(
        "the checkpoint key {path} still holds the key before it: end that one first, with logkey audit rotate-key --end"
    )]
    TakingOver {
        /// The file.
        path: PathBuf,
    },
    /// The origin cannot be a key's name.
    #[error("checkpoint_origin cannot be the name of a key: no space and no plus, please")]
    Origin,
}

/// A note is no checkpoint of this log, or not signed by a key that is known.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// Not a signed note.
    #[error("this is not a signed note")]
    Note(#[source] signed_note::NoteError),
    /// No known key signed it, or one that is known did not.
    #[error("the checkpoint is not signed by the log's key")]
    Signature(#[source] signed_note::NoteError),
    /// A signed note that is not a checkpoint.
    #[error("the signed text is not a checkpoint")]
    Text,
    /// Another log's.
    #[error("the checkpoint is of the log {0:?}")]
    Origin(String),
    /// The key to check it with is not one.
    #[error("the verifier key cannot be read")]
    Verifier,
}

/// Where the key is when the configuration does not say: beside the database file.
#[must_use]
pub fn default_key_path(database: &Path) -> PathBuf {
    let mut path = database.to_owned().into_os_string();
    path.push(".checkpoint-key.pem");
    path.into()
}

/// Whether this is the verifier key of a signed note.
#[must_use]
pub fn is_verifier(key: &str) -> bool {
    StandardVerifier::new(key).is_ok()
}

/// Reads a signed checkpoint, and tells its size and root if one of the keys signed it.
///
/// # Errors
///
/// [`BadCheckpoint`].
pub fn read(note: &[u8], origin: &str, verifiers: &[String]) -> Result<Checkpoint, CheckpointError> {
    if note.len() > MAX_NOTE {
        return Err(CheckpointError::Text);
    }
    let trusted_keys = verifiers.iter().map(|key| StandardVerifier::new(key));
    let trusted_keys: Vec<_> =
        trusted_keys.collect::<Result<_, _>>().map_err(|_bad| CheckpointError::Verifier)?;
    let trusted_keys = VerifierList::new(trusted_keys.into_iter().map(|key| Box::new(key) as _).collect());
    let note = Note::from_bytes(note).map_err(CheckpointError::Note)?;
    note.verify(&trusted_keys).map_err(CheckpointError::Signature)?;
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|_malformed| CheckpointError::Text)?;
    if checkpoint.origin() == origin {
        Ok(checkpoint)
    } else {
        Err(CheckpointError::Origin(checkpoint.origin().to_owned()))
    }
}

#[cfg(test)]
mod tests;
