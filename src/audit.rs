//! The audit log: events in OCSF form, kept by group commit before anything else happens.
//!
//! The use cases know only [`crate::ports::AuditLog`]; [`Journal`] keeps it, over an
//! [`crate::ports::EventStore`].

pub mod archive;
mod c2sp_layout;
pub mod checkpoint;
pub mod event;
pub mod export;
mod journal;
mod leaf_cache;
mod monitored_store;
pub mod parsed_event;
mod pending_changes;
pub mod prove;
mod prover;
mod refusal_dedup;
pub mod rotation;
pub mod sequencer;
pub mod sinks;
mod tree;
pub mod verify;

use std::time::Duration;

pub use self::{
    journal::Journal, leaf_cache::LeafCache, monitored_store::MonitoredTreeStore,
    pending_changes::PendingChangeReader, prover::ProofService, sequencer::Sequencer, sinks::Sinks,
};

/// How much the journal holds, and how patient it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether reads are recorded.
    pub reads: bool,
    /// Most entries waiting; beyond, an intent is refused.
    pub queue: usize,
    /// Most events waiting that nobody waits for; beyond, they are counted as lost.
    pub notes: usize,
    /// Most events of one commit.
    pub batch: usize,
    /// How long a commit may take before the journal counts as unready.
    pub stall: Duration,
    /// The first wait before a failed store is tried again; each further one is twice as long.
    pub first_retry: Duration,
    /// The longest such wait.
    pub max_retry: Duration,
    /// How long closing tries to write what is left while the store fails.
    pub close_within: Duration,
    /// Over how long equal refusals are counted together.
    pub window: Duration,
    /// How many equal refusals of a window are recorded whole.
    pub whole: u32,
    /// How many refusals of a window are recorded whole, over all kinds; the first of each kind is beyond it too.
    pub whole_in_all: u32,
    /// How many kinds of refusals are told apart in a window.
    pub kinds: usize,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            reads: true,
            queue: 8192,
            notes: 8192,
            batch: 1024,
            stall: Duration::from_secs(2),
            first_retry: Duration::from_millis(50),
            max_retry: Duration::from_secs(2),
            close_within: Duration::from_secs(5),
            window: Duration::from_secs(10),
            whole: 5,
            whole_in_all: 1000,
            kinds: 1024,
        }
    }
}
