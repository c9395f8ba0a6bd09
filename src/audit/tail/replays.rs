//! Finds a batch that is in the log twice. A tag says after which event its batch comes, so only the batches
//! between that event and the batch have to be compared.

use std::collections::VecDeque;

use super::leaves::Leaves;
use crate::{
    audit::batch_tag::BatchTagger,
    ports::{EventReader, StoredBatch, Unavailable},
};

/// The largest number of events between the event that a tag names and its batch: many seconds of the highest
/// load of several replicas. On SQLite there is none.
const MAX_DISTANCE: u64 = 1 << 17;
/// The largest number of batches in memory.
const MAX_BATCHES: usize = 1 << 14;
/// More events than a batch has.
const MAX_BATCH: u64 = 2048;

/// The batches of the newest events.
#[derive(Debug, Default)]
pub(super) struct Replays {
    /// All batches after this event are in `batches`.
    floor: u64,
    batches: VecDeque<StoredBatch>,
}

// === impl Replays ===

impl Replays {
    pub(super) fn restart(&mut self, floor: u64) {
        self.floor = floor;
        self.batches.clear();
    }

    /// Whether an authentic batch is not a copy of an earlier one. Remembers it then.
    pub(super) async fn is_new(
        &mut self,
        log: &dyn EventReader,
        tagger: &BatchTagger,
        batch: &StoredBatch,
        format_after: u64,
    ) -> Result<bool, Unavailable> {
        let after = batch.tag.after;
        if batch.first - after > MAX_DISTANCE {
            return Ok(false);
        }
        if after + 1 < batch.first && after < self.floor {
            match window(log, tagger, after, self.floor, format_after).await? {
                Some(before) => {
                    before.into_iter().rev().for_each(|batch| self.batches.push_front(batch));
                    self.floor = after;
                }
                None => return Ok(false),
            }
        }
        let is_copy = |other: &StoredBatch| other.first > after && other.tag == batch.tag;
        if self.batches.iter().any(is_copy) {
            return Ok(false);
        }
        self.batches.push_back(batch.clone());
        while self.batches.len() > MAX_BATCHES
            && let Some(oldest) = self.batches.pop_front()
        {
            self.floor = oldest.last;
        }
        Ok(true)
    }
}

/// The batches of the events after `after` up to `through`. `None` if one of these events is in no authentic
/// batch, so that a copy could be hidden.
async fn window(
    log: &dyn EventReader,
    tagger: &BatchTagger,
    after: u64,
    through: u64,
    format_after: u64,
) -> Result<Option<Vec<StoredBatch>>, Unavailable> {
    let batches = log.batches(after.saturating_sub(MAX_BATCH), through).await?;
    let batches: Vec<StoredBatch> = batches.into_iter().filter(|batch| batch.last > after).collect();
    let mut next = after.max(format_after) + 1;
    for batch in batches.iter().filter(|batch| batch.last > format_after) {
        let leaves = Leaves::read(log, batch.first.saturating_sub(1)).await?;
        let is_authentic = leaves.of(batch).is_some_and(|leaves| tagger.is_authentic(batch, leaves));
        if batch.first > next || !is_authentic {
            return Ok(None);
        }
        next = batch.last + 1;
    }
    Ok((next > through).then_some(batches))
}
