//! Reads signed checkpoints.

use signed_note::{Note, StandardVerifier, VerifierList};
use thiserror::Error;
use tlog_tiles::Checkpoint;

/// The longest note that is read, in bytes.
pub(super) const MAX_NOTE: usize = 64 * 1024;

/// The beginning of the extension line of a checkpoint of a log in the current format. Its number is the last
/// event of an earlier format: later events are in authenticated batches.
const FORMAT: &str = "logkey-format-2-after ";

/// Why a note is not a trusted checkpoint of this log.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The bytes are not a signed note.
    #[error("this is not a signed note")]
    Note(#[source] signed_note::NoteError),
    /// No trusted key signed the note, or the signature of a trusted key is wrong.
    #[error("the checkpoint is not signed by the log's key")]
    Signature(#[source] signed_note::NoteError),
    /// The signed text is not a checkpoint, or it is too long.
    #[error("the signed text is not a checkpoint")]
    Text,
    /// The checkpoint belongs to the log with this name.
    #[error("the checkpoint belongs to another log, {0:?}")]
    Origin(String),
    /// A verifier key is malformed.
    #[error("a verifier key is malformed: expected `NAME+ID+KEY`, as in `verifier.key` of an export")]
    Verifier,
}

/// Whether the text is a verifier key of signed notes.
#[must_use]
pub fn is_verifier(key: &str) -> bool {
    StandardVerifier::new(key).is_ok()
}

/// Reads a checkpoint without its signatures. Only for a log whose key is lost.
///
/// # Errors
///
/// [`CheckpointError`].
pub(in crate::audit) fn read_unverified(note: &[u8]) -> Result<Checkpoint, CheckpointError> {
    if note.len() > MAX_NOTE {
        return Err(CheckpointError::Text);
    }
    let note = Note::from_bytes(note).map_err(CheckpointError::Note)?;
    Checkpoint::from_bytes(note.text()).map_err(|_malformed| CheckpointError::Text)
}

/// Reads a signed checkpoint. Returns it only if one of the keys signed it and it belongs to this log.
///
/// # Errors
///
/// [`CheckpointError`].
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

/// The extension line for this number.
pub(super) fn format_line(after: u64) -> String {
    format!("{FORMAT}{after}\n")
}

/// The event after which the log of a checkpoint has the current format. `None` if the log has an earlier one.
#[must_use]
pub fn format_after(checkpoint: &Checkpoint) -> Option<u64> {
    checkpoint.extension().lines().find_map(|line| line.strip_prefix(FORMAT)?.parse().ok())
}
