//! The tree over the audit log, and the leader that extends it.

use async_trait::async_trait;

use super::unavailable::Unavailable;
use crate::domain::time::Timestamp;

/// One tile of the log's tree (C2SP tlog-tiles): up to 256 hashes of 32 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The level of the tile. Level 0 holds the leaf hashes of events.
    pub level: u8,
    /// The index of the tile in its level.
    pub index: u64,
    /// The hashes, one after the other.
    pub hashes: Vec<u8>,
}

/// A signed checkpoint as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The number of events that it covers, according to the store. Only the note is evidence.
    pub size: u64,
    /// The time of the signature.
    pub time: Timestamp,
    /// The checkpoint as a signed note.
    pub note: String,
    /// Whether it is the checkpoint of a key rotation, signed by the former and the new key. It is then kept
    /// forever.
    pub handover: bool,
}

/// Whether this process is the leader, which extends the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeadershipStatus {
    /// Another process is the leader.
    Follower,
    /// This process has just become the leader. What it knows about the tree may be outdated.
    Acquired,
    /// This process was the leader before and still is.
    Held,
}

/// Whether this process does the work that only one of the processes on a store may do.
pub trait Leadership: Send + Sync + 'static {
    /// Whether this process is the leader.
    fn is_leader(&self) -> bool;

    /// Whether the store has only this process. Then no other process can still work on a change that began
    /// before this process started.
    fn is_single_node(&self) -> bool;
}

/// Stores the tree over the log. One process at a time, the leader, extends it.
#[async_trait]
pub trait TreeStore: Send + Sync + 'static {
    /// Tries to become or to stay the leader. Call it before each extension of the tree, and at least as
    /// often as the leadership expires. The default implementation is for stores with a single process.
    async fn lead(&self) -> Result<LeadershipStatus, Unavailable> {
        Ok(LeadershipStatus::Held)
    }

    /// The newest checkpoint, if there is one.
    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable>;

    /// All checkpoints at one moment, in the order of the store's own column of sizes, smallest first. There
    /// is one for each hour, and one for each key rotation.
    async fn checkpoints(&self) -> Result<Vec<SignedCheckpoint>, Unavailable>;

    /// Ends the time in which processes of an earlier release, which do not authenticate their batches, may
    /// write. Returns `false` while there may be such a process. The leader calls it. The default
    /// implementation is for stores with a single process.
    async fn refuse_untagged(&self) -> Result<bool, Unavailable> {
        Ok(true)
    }

    /// The tiles with these levels and indexes. A tile that does not exist is omitted.
    async fn tiles(&self, tile_ids: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable>;

    /// Stores new and extended tiles together with the checkpoint that covers them.
    async fn grow(&self, tiles: &[Tile], checkpoint: &SignedCheckpoint) -> Result<(), Unavailable>;
}
