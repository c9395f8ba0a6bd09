//! Checks the events that no checkpoint covers yet. They are whole only if this log's journals handed them
//! over, which the holder of the signing key can tell.

use super::{
    pass::Verifier,
    report::{Finding, UnsignedEvents},
};
use crate::{
    audit::{
        checkpoint::{self, SigningKey},
        tail::{Tail, TailFault},
    },
    ports::{EventReader, Unavailable},
};

/// The largest number of ranges that are reported.
const MAX_RANGES: usize = 100;

impl Verifier<'_> {
    /// Checks the events after the newest checkpoint up to `last`.
    pub(super) async fn check_unsigned(
        &mut self,
        log: &dyn EventReader,
        last: u64,
    ) -> Result<(), Unavailable> {
        let misplaced = log.count_misplaced().await?;
        if misplaced > 0 {
            self.add_finding(Finding::Misplaced { count: misplaced });
        }
        let Some(newest) = &self.newest else { return Ok(()) };
        let signed = newest.size();
        if last <= signed {
            return Ok(());
        }
        let count = last - signed;
        let Some(format_after) = checkpoint::format_after(newest) else {
            self.add_finding(Finding::Foreign { first: signed + 1, last });
            return Ok(());
        };
        let Some(tagger) = self.tagger.clone() else {
            self.report.unsigned = Some(UnsignedEvents { count, is_checked: false });
            return Ok(());
        };
        let key_file =
            self.against.key_file.and_then(|path| SigningKey::open(path, self.against.origin).ok());
        if let Some(key) = key_file {
            tagger.use_key(&key);
        }
        let (mut tail, mut position, mut ranges) = (Tail::default(), signed, 0);
        tail.skip_to(signed);
        while position < last && ranges < MAX_RANGES {
            let page = tail.read(log, &tagger, position, format_after).await?;
            position += page.leaves.len() as u64;
            let Some(fault) = page.fault.filter(|_| page.leaves.is_empty()) else {
                if page.leaves.is_empty() {
                    break;
                }
                continue;
            };
            ranges += 1;
            let (first, next) = match fault {
                TailFault::Missing(seq) => {
                    let next = log.after(seq, 1).await?.first().map_or(last + 1, |event| event.seq);
                    self.add_finding(Finding::Removed { first: seq, last: next - 1 });
                    (seq, next)
                }
                TailFault::Foreign(seq) => {
                    let batches = log.batches(seq, last).await?;
                    let next = batches.iter().find(|batch| !batch.tag.code.is_empty());
                    let next = next.map_or(last + 1, |batch| batch.first);
                    self.add_finding(Finding::Foreign { first: seq, last: next - 1 });
                    (seq, next)
                }
            };
            position = next.max(first + 1) - 1;
            tail.skip_to(position);
        }
        self.report.unsigned = Some(UnsignedEvents { count, is_checked: true });
        Ok(())
    }
}
