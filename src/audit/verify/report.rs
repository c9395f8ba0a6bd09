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
    /// The store does not have the hashes of signed events, which proofs need.
    #[error("the hashes of events {first} to {last} are missing")]
    HashesMissing {
        /// The first event.
        first: u64,
        /// The last event.
        last: u64,
    },
    /// The hashes do not give the signed root.
    #[error("the log's first {size} events do not match its signed checkpoint")]
    Root {
        /// The checkpoint's size.
        size: u64,
    },
    /// An event is at a position that another event has already.
    #[error("there is another event at position {seq}")]
    Duplicate {
        /// The position.
        seq: u64,
    },
    /// Rows have positions at which a log has no events.
    #[error("{count} rows are outside the log: their positions are not positive")]
    Misplaced {
        /// The number of rows.
        count: u64,
    },
    /// No journal of this log handed over the events, which no checkpoint covers.
    #[error(
        "events {first} to {last} are not covered by a checkpoint and do not carry this log's authentication: somebody else wrote or changed them"
    )]
    Foreign {
        /// The first event.
        first: u64,
        /// The last event.
        last: u64,
    },
    /// An event that changes whom or what the log trusts has no valid proof.
    #[error("event {seq} says {what}, but without the signature of the log's key: it does not count")]
    Unproved {
        /// The position of the event.
        seq: u64,
        /// What the event says.
        what: &'static str,
    },
    /// A stored checkpoint cannot be trusted, or is stored with another size.
    #[error("the checkpoint that is stored for {size} events is not one of this log: {reason}")]
    Note {
        /// The size according to the store.
        size: u64,
        /// Why not.
        reason: String,
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
    /// The events that no checkpoint covers yet, if there are any.
    pub unsigned: Option<UnsignedEvents>,
    /// What an earlier release wrote without a proof. It is neither trusted nor a finding.
    pub unproven: Vec<Unproven>,
    /// The log that this one follows, if its first event says that the key of that log was lost.
    pub former: Option<FormerLog>,
}

/// The log before this one, as the first event names it. No signature of its key shows that.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the log was restarted: its first event says that the key of a former log was lost, whose newest checkpoint has {size} events and the root {root}; only the key of this log signed that, so compare it with a checkpoint of the former log that was kept elsewhere"
)]
pub struct FormerLog {
    /// How many events its newest checkpoint covers.
    pub size: u64,
    /// The root of that checkpoint, in base64.
    pub root: String,
}

/// The newest events, which no checkpoint covers yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsignedEvents {
    /// Their number.
    pub count: u64,
    /// Whether it was checked that this log's service wrote them. That needs the signing key.
    pub is_checked: bool,
}

/// Something that an earlier release wrote without a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unproven {
    /// A key rotation.
    #[error("the key rotation in event {seq} is from an earlier release and has no proof")]
    Rotation {
        /// The position of the event.
        seq: u64,
    },
    /// An archive.
    #[error("the archive in event {seq} is from an earlier release and has no proof")]
    Archive {
        /// The position of the event.
        seq: u64,
    },
    /// A checkpoint that only a key without a proof signed.
    #[error(
        "the checkpoint of {size} events was signed by a key that only a rotation without a proof names; it matches the log"
    )]
    Checkpoint {
        /// The number of events.
        size: u64,
    },
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
