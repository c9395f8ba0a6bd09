//! Events that were moved out to an archive: they are missing for a reason only where a signed event of
//! the log says so, with the root over them; and they are whole only where the archive was looked through.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{super::parsed_event::ParsedEvent, Finding, PAGE, Verifier};
use crate::ports::{EventFilter, EventReader, Unavailable};

/// Most such events that are looked through.
const MAX: u32 = 1000;
/// `api.operation` of the event that says so.
const ACTION: &str = "Archive";

/// Events that were moved out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchivedRanges {
    /// The last one's place; the first one's is 1.
    pub last: u64,
    /// The event that says so.
    pub claimed: u64,
    /// Whether an archive was looked through that holds them all.
    pub checked: bool,
}

/// What an event says was moved out.
#[derive(Clone, Debug)]
pub(super) struct ArchiveClaim {
    last: u64,
    root: String,
    claimed: u64,
}

impl Verifier<'_> {
    /// Goes over what is missing at the beginning, if the log itself says that it was moved out; tells up
    /// to which place.
    pub(super) async fn archived_ranges(
        &mut self,
        log: &dyn EventReader,
        progress: &mut impl FnMut(u64),
    ) -> Result<u64, Unavailable> {
        let first = log.after(0, 1).await?.first().map_or(u64::MAX, |event| event.seq);
        let missing = first.saturating_sub(1);
        if missing == 0 {
            return Ok(0);
        }
        let Some(claim) = self.parse_claim(log, missing).await? else { return Ok(0) };
        // What is missing beyond is missing for no reason.
        let missing = missing.min(claim.last);
        let mut moved_out =
            ArchivedRanges { last: missing, claimed: claim.claimed, checked: self.against.archive.is_some() };
        self.claim = Some(claim);
        while self.edge.size() < missing {
            let page = match self.against.archive {
                Some(archive) => archive.after(self.edge.size(), PAGE).await?,
                None => Vec::new(),
            };
            if page.is_empty() {
                moved_out.checked = false;
                let Some(leaf) = self.leaf_from_tiles().await? else { break };
                self.add_leaf(leaf).await?;
            }
            for event in page.iter().take_while(|event| event.seq <= missing) {
                self.is_signed(event.seq, event.body.as_bytes()).await?;
            }
            if self.edge.size().is_multiple_of(u64::from(PAGE)) {
                progress(self.edge.size());
            }
        }
        self.report.moved_out = Some(moved_out);
        Ok(missing)
    }

    /// The signed event by which as many events as are missing were moved out, or else the most.
    async fn parse_claim(
        &self,
        log: &dyn EventReader,
        missing: u64,
    ) -> Result<Option<ArchiveClaim>, Unavailable> {
        let filter = EventFilter { action: Some(ACTION.to_owned()), ..EventFilter::default() };
        let found = log.next(&filter, self.report.signed, MAX).await?;
        let claims = found.iter().filter_map(|event| {
            let (last, root) = ParsedEvent::try_from(event).ok()?.archived?;
            Some(ArchiveClaim { last, root, claimed: event.seq })
        });
        Ok(claims.min_by_key(|claim| (claim.last < missing, claim.last.abs_diff(missing))))
    }

    /// At the place where what was moved out ends: whether it was what the event says.
    pub(super) fn compare_claim(&mut self) {
        let Some(claim) = self.claim.take_if(|claim| claim.last == self.edge.size()) else { return };
        let root = self.edge.root().map(|root| BASE64_STANDARD.encode(root.0));
        if root.as_deref() != Some(&*claim.root) {
            self.add_finding(Finding::Archived { last: claim.last, claimed: claim.claimed });
        }
    }
}
