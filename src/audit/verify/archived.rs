//! Checks archived events. Missing events at the beginning are accepted only if a signed `Archive` event
//! names them with the root over them. Whether they are intact is known only after reading the archive.

use super::{
    pass::{ArchiveClaim, PAGE, Verifier},
    report::ArchivedRanges,
    rotations::{events_with_action, is_archive_proved},
};
use crate::{
    audit::parsed_event::{ArchivedEvent, ParsedEvent},
    ports::{EventReader, Unavailable},
};

/// `api.operation` of the event that names the archived events.
const ACTION: &str = "Archive";

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
        let found = events_with_action(log, ACTION, self.report.signed).await?;
        let claims = found.iter().filter_map(|event| {
            let archived = ParsedEvent::try_from(event).ok()?.archived?;
            let counts = is_archive_proved(&archived, self.against.origin, &self.verifiers)
                || event.seq <= self.unproven_through();
            let ArchivedEvent { last, root, proof: _ } = archived;
            counts.then_some(ArchiveClaim { last, root, claimed: event.seq })
        });
        Ok(claims.min_by_key(|claim| (claim.last < missing, claim.last.abs_diff(missing))))
    }
}
