//! Checks archived events. Missing events at the beginning are accepted only if a signed `Archive` event
//! names them with the root over them. Whether they are intact is known only after reading the archive.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{super::parsed_event::ParsedEvent, Finding, PAGE, Verifier};
use crate::ports::{EventFilter, EventReader, Unavailable};

/// The largest number of `Archive` events that are considered.
const MAX: u32 = 1000;
/// `api.operation` of the event that names the archived events.
const ACTION: &str = "Archive";

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

/// The content of an `Archive` event.
#[derive(Clone, Debug)]
pub(super) struct ArchiveClaim {
    last: u64,
    root: String,
    claimed: u64,
}

impl Verifier<'_> {
    /// Checks the events that are missing at the beginning, if the log itself says that they were archived.
    /// Returns the last position that it checked.
    pub(super) async fn check_archived(
        &mut self,
        log: &dyn EventReader,
        progress: &mut impl FnMut(u64),
    ) -> Result<u64, Unavailable> {
        let first = log.after(0, 1).await?.first().map_or(u64::MAX, |event| event.seq);
        let missing = first.saturating_sub(1);
        if missing == 0 {
            return Ok(0);
        }
        let Some(claim) = self.find_claim(log, missing).await? else { return Ok(0) };
        // Events that are missing beyond the claim were removed.
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

    /// The signed `Archive` event that explains the missing events: the one that ends closest at or after
    /// them, otherwise the one that covers the most.
    async fn find_claim(
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

    /// Compares the root with the claim when the tree has reached the last archived event.
    pub(super) fn compare_claim(&mut self) {
        let Some(claim) = self.claim.take_if(|claim| claim.last == self.edge.size()) else { return };
        let root = self.edge.root().map(|root| BASE64_STANDARD.encode(root.0));
        if root.as_deref() != Some(&*claim.root) {
            self.add_finding(Finding::Archived { last: claim.last, claimed: claim.claimed });
        }
    }
}
