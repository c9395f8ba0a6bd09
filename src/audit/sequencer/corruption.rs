//! Why the log cannot be continued.

use thiserror::Error;

use crate::{audit::checkpoint::CheckpointError, ports::Unavailable};

/// Why the log cannot be continued.
#[derive(Debug, Error)]
pub enum Corruption {
    /// The store is not available.
    #[error("the audit log cannot be read")]
    Unavailable(#[source] Unavailable),
    /// The newest checkpoint is malformed, or none of the log's keys signed it.
    #[error(
        "the audit log's newest checkpoint cannot be trusted: restore the checkpoint key that belongs to this log; \
         if it is lost, see `logkey audit restart --lost-key`"
    )]
    Checkpoint(#[source] CheckpointError),
    /// Tiles are missing, or do not give the signed root.
    #[error("the audit log's tree does not match its checkpoint of {size} events: run `logkey audit verify`")]
    Tree {
        /// The checkpoint's size.
        size: u64,
    },
    /// An event is missing or was changed.
    #[error("event {seq} of the audit log is missing or was changed: run `logkey audit verify`")]
    Event {
        /// The position of the event.
        seq: u64,
    },
    /// An event did not come from a journal of this log.
    #[error(
        "event {seq} of the audit log was not written by this log's service, or it was changed before a checkpoint covered it: run `logkey audit verify`"
    )]
    Foreign {
        /// The position of the event.
        seq: u64,
    },
    /// There are events and no checkpoint. The first checkpoint is signed before the first event.
    #[error(
        "the audit log has events but no checkpoint: its checkpoints were removed; restore the store from a backup"
    )]
    NoCheckpoint,
    /// Another process has not signed the first checkpoint yet.
    #[error("the audit log has no checkpoint yet: the process that leads has not signed one; start again")]
    NotBegun,
    /// The checkpoint cannot be signed.
    #[error("a checkpoint cannot be signed")]
    Sign,
}
