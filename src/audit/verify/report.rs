//! The result of a verification.

use thiserror::Error;

/// How a log was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Finding {
    /// The bytes of the event are not the signed bytes.
    #[error("event {seq} was altered")]
    Altered {
        /// The position of the event.
        seq: u64,
    },
    /// An event is at a position where another one was signed.
    #[error("events were reordered: position {seq} holds the event that was signed at position {signed_at}")]
    Reordered {
        /// The position where the event is now.
        seq: u64,
        /// The position where it was signed.
        signed_at: u64,
    },
    /// Signed events are missing.
    #[error("events {first} to {last} were removed")]
    Removed {
        /// The first missing position.
        first: u64,
        /// The last missing position.
        last: u64,
    },
    /// The store's index columns disagree with the event's bytes.
    #[error("the index of event {seq} does not match its bytes: {columns}")]
    Mislabelled {
        /// The position of the event.
        seq: u64,
        /// The columns that disagree, separated by commas.
        columns: String,
    },
    /// The tree over the archived events is not the one that the `Archive` event names.
    #[error(
        "events 1 to {last} were archived, but their hashes do not give the root that event {claimed} names"
    )]
    Archived {
        /// The last archived position.
        last: u64,
        /// The position of the `Archive` event.
        claimed: u64,
    },
    /// Events and the hashes over them were changed together.
    #[error("events {first} to {last} were altered, together with the hashes over them")]
    Rehashed {
        /// The first event under the hash that does not match.
        first: u64,
        /// The last event under that hash.
        last: u64,
    },
    /// The hashes do not give the signed root.
    #[error("the log's first {size} events do not match its signed checkpoint")]
    Root {
        /// The checkpoint's size.
        size: u64,
    },
    /// The log has no checkpoint, or no trusted key of the log signed it.
    #[error("the log's newest checkpoint cannot be trusted: {0}")]
    Checkpoint(String),
    /// The kept checkpoint covers more events than the log's newest one.
    #[error(
        "the log was rolled back: its newest checkpoint covers {now} events, but the kept checkpoint covers {stored_size}"
    )]
    RolledBack {
        /// The size of the kept checkpoint.
        stored_size: u64,
        /// The size of the log's newest checkpoint.
        now: u64,
    },
    /// The log continues differently from the kept checkpoint.
    #[error("the log was forked: its first {size} events are not those of the kept checkpoint")]
    Forked {
        /// The size of the kept checkpoint.
        size: u64,
    },
}

/// The result of one verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The position of the newest event.
    pub events: u64,
    /// How many events the newest checkpoint covers.
    pub signed: u64,
    /// How the log was changed; empty if it is complete and unchanged.
    pub findings: Vec<Finding>,
    /// The events that the log itself says were archived.
    pub moved_out: Option<ArchivedRanges>,
}

/// The events that were archived: positions 1 to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchivedRanges {
    /// The last archived position.
    pub last: u64,
    /// The position of the `Archive` event that names them.
    pub claimed: u64,
    /// Whether all of them were read from an archive and checked.
    pub checked: bool,
}
