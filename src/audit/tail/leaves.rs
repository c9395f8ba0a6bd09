//! Reads consecutive events as leaf hashes.

use tlog_tiles::Hash;

use crate::{
    audit::tree,
    ports::{EventReader, StoredBatch, Unavailable},
};

/// The largest number of events in one step, and more than a batch has.
const PAGE: u32 = 2048;

/// Consecutive events with their leaf hashes.
pub(super) struct Leaves {
    pub(super) first: u64,
    pub(super) hashes: Vec<Hash>,
    /// Whether there may be more events.
    pub(super) full: bool,
    /// The first missing position, if later events follow it.
    pub(super) gap: Option<u64>,
}

// === impl Leaves ===

impl Leaves {
    pub(super) async fn read(log: &dyn EventReader, size: u64) -> Result<Self, Unavailable> {
        let events = log.after(size, PAGE).await?;
        let full = events.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        let mut hashes = Vec::with_capacity(events.len());
        let mut gap = None;
        for (seq, event) in (size + 1..).zip(&events) {
            if event.seq != seq {
                gap = Some(seq);
                break;
            }
            hashes.push(tree::leaf(event.body.as_bytes()));
        }
        Ok(Self { first: size + 1, hashes, full, gap })
    }

    /// The last position.
    pub(super) fn end(&self) -> u64 {
        self.first + self.hashes.len() as u64 - 1
    }

    /// The leaves of a batch, if all of them are here.
    pub(super) fn of(&self, batch: &StoredBatch) -> Option<&[Hash]> {
        let from = usize::try_from(batch.first.checked_sub(self.first)?).ok()?;
        let count = batch.last.checked_sub(batch.first)?.checked_add(1)?;
        self.hashes.get(from..from.checked_add(usize::try_from(count).ok()?)?)
    }
}
