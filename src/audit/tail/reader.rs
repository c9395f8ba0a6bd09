//! Reads the end of the log in steps.

use tlog_tiles::Hash;

use super::{leaves::Leaves, replays::Replays};
use crate::{
    audit::batch_tag::BatchTagger,
    ports::{EventReader, Unavailable},
};

/// Reads the end of the log in steps.
#[derive(Debug, Default)]
pub(in crate::audit) struct Tail {
    replays: Replays,
}

/// The next authentic events.
#[derive(Debug, Default)]
pub(in crate::audit) struct TailPage {
    /// Their leaf hashes.
    pub(in crate::audit) leaves: Vec<Hash>,
    /// What follows them, if that is not the end and not another authentic batch.
    pub(in crate::audit) fault: Option<TailFault>,
}

/// Why the log does not go on after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::audit) enum TailFault {
    /// The event at this position is missing, but there are later ones.
    Missing(u64),
    /// No journal of this log handed over the event at this position, or it was changed since.
    Foreign(u64),
}

// === impl Tail ===

impl Tail {
    /// Says that the events up to this position need no check any more.
    pub(in crate::audit) fn skip_to(&mut self, size: u64) {
        self.replays.restart(size);
    }

    /// The next authentic events after `size`. Batches before `format_after` have no tags.
    pub(in crate::audit) async fn read(
        &mut self,
        log: &dyn EventReader,
        tagger: &BatchTagger,
        size: u64,
        format_after: u64,
    ) -> Result<TailPage, Unavailable> {
        let events = Leaves::read(log, size).await?;
        let end = events.end();
        let mut page = TailPage { leaves: Vec::new(), fault: events.gap.map(TailFault::Missing) };
        if events.hashes.is_empty() {
            return Ok(page);
        }
        let mut next = size + 1;
        for batch in log.batches(size, end).await? {
            if next > end {
                break;
            }
            if batch.first != next {
                page.fault = Some(TailFault::Foreign(next));
                return Ok(page);
            }
            let Some(leaves) = events.of(&batch) else {
                let is_cut = events.full && !page.leaves.is_empty();
                page.fault = if is_cut { None } else { page.fault.or(Some(TailFault::Foreign(next))) };
                return Ok(page);
            };
            let is_authentic = tagger.is_authentic(&batch, leaves)
                && self.replays.is_new(log, tagger, &batch, format_after).await?;
            if !is_authentic {
                page.fault = Some(TailFault::Foreign(next));
                return Ok(page);
            }
            page.leaves.extend(leaves);
            next = batch.last + 1;
        }
        if next <= end {
            page.fault = Some(TailFault::Foreign(next));
        }
        Ok(page)
    }
}
