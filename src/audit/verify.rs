//! Checks a log against itself, its signed checkpoint, and a checkpoint that an auditor kept. It makes one
//! pass over the events in bounded memory, and reports which events were changed and how.

mod archived;
mod trust;

use std::collections::HashMap;

use thiserror::Error;
use tlog_tiles::{Checkpoint, Hash};

use self::{archived::ArchiveClaim, trust::TrustedKeys};
pub use self::{archived::ArchivedRanges, trust::trusted};
use super::{
    archive::ArchiveReader,
    tree::{Edge, HASH, TILE_WIDTH},
};
use crate::ports::{EventReader, IndexCheckedEvent, Tile, TreeStore, Unavailable};

/// How many events one read returns.
const PAGE: u32 = 1024;
/// The largest number of findings in a report.
const MAX_FINDINGS: usize = 100;
/// The largest number of mismatches that are compared with each other to find reordered events.
const MAX_COMPARED: usize = 4096;

/// What a log is checked against.
#[derive(Clone, Debug)]
pub struct TrustAnchor<'k> {
    /// The log's name, the first line of its checkpoints.
    pub origin: &'k str,
    /// The verifier keys of the log.
    pub verifiers: &'k [String],
    /// A checkpoint that the auditor kept outside the store.
    pub kept_checkpoint: Option<&'k Checkpoint>,
    /// The archive that holds the events removed from the store.
    pub archive: Option<&'k ArchiveReader>,
}

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
    /// The hashes do not give the signed root.
    #[error("the log's first {size} events do not match its signed checkpoint")]
    Root {
        /// The checkpoint's size.
        size: u64,
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
}

/// One pass over a log.
struct Verifier<'p> {
    tree: &'p dyn TreeStore,
    against: &'p TrustAnchor<'p>,
    signed: Option<Checkpoint>,
    /// Checkpoints at which one signing key handed over to the next.
    handovers: Vec<Checkpoint>,
    /// The `Archive` event whose root has not been compared yet.
    claim: Option<ArchiveClaim>,
    /// The tree, rebuilt from the stored leaf hashes.
    edge: Edge,
    /// The stored leaf hashes of the tile that contains the next position.
    leaves: Vec<u8>,
    /// Positions whose leaf hash differs from the signed one: position, actual hash, signed hash.
    mismatches: Vec<(u64, Hash, Hash)>,
    report: Report,
}

/// Checks the log. Calls `progress` with the number of checked events after each page.
///
/// # Errors
///
/// [`Unavailable`] if the log cannot be read, so that the check has no result.
pub async fn verify(
    log: &dyn EventReader,
    tree: &dyn TreeStore,
    against: &TrustAnchor<'_>,
    mut progress: impl FnMut(u64),
) -> Result<Report, Unavailable> {
    let mut pass = Verifier::begin(log, tree, against).await?;
    let mut last = pass.check_archived(log, &mut progress).await?;
    let mut page = log.index_check(last, PAGE).await?;
    while let Some(newest) = page.last() {
        last = newest.event.seq;
        // The store reads the next page while this one is checked.
        let (next, checked) = tokio::join!(log.index_check(last, PAGE), pass.check_page(&page));
        checked?;
        page = next?;
        progress(last);
    }
    pass.finish(last).await
}

// === impl Verifier ===

impl<'p> Verifier<'p> {
    async fn begin(
        log: &dyn EventReader,
        tree: &'p dyn TreeStore,
        against: &'p TrustAnchor<'p>,
    ) -> Result<Self, Unavailable> {
        let mut report = Report::default();
        let TrustedKeys { handovers, newest } = trust::checkpoints(log, tree, against).await?;
        let signed = match newest {
            Ok(signed) => Some(signed),
            Err(reason) => {
                report.findings.push(Finding::Checkpoint(reason));
                None
            }
        };
        report.signed = signed.as_ref().map_or(0, Checkpoint::size);
        if let Some(kept_checkpoint) = against.kept_checkpoint
            && kept_checkpoint.size() > report.signed
        {
            report
                .findings
                .push(Finding::RolledBack { stored_size: kept_checkpoint.size(), now: report.signed });
        }
        let (edge, leaves, mismatches, claim) = (Edge::default(), Vec::new(), Vec::new(), None);
        Ok(Self { tree, against, signed, handovers, claim, edge, leaves, mismatches, report })
    }

    async fn check_page(&mut self, page: &[IndexCheckedEvent]) -> Result<(), Unavailable> {
        for IndexCheckedEvent { event, mismatches: wrong } in page {
            let expected = self.edge.size() + 1;
            if event.seq > expected {
                self.skip_removed_range(expected, event.seq - 1).await?;
            }
            if self.is_signed(event.seq, event.body.as_bytes()).await? && !wrong.is_empty() {
                self.add_finding(Finding::Mislabelled { seq: event.seq, columns: wrong.join(", ") });
            }
        }
        Ok(())
    }

    /// Adds the signed leaf at this position to the tree, and returns whether it is the hash of `body`.
    async fn is_signed(&mut self, seq: u64, body: &[u8]) -> Result<bool, Unavailable> {
        let leaf = tlog_tiles::record_hash(body);
        let signed = self.leaf_from_tiles().await?.unwrap_or(leaf);
        let same = leaf == signed;
        if !same && self.mismatches.len() < MAX_COMPARED {
            self.mismatches.push((seq, leaf, signed));
        } else if !same {
            self.add_finding(Finding::Altered { seq });
        }
        self.add_leaf(signed).await?;
        Ok(same)
    }

    async fn skip_removed_range(&mut self, first: u64, last: u64) -> Result<(), Unavailable> {
        self.add_finding(Finding::Removed { first, last });
        while self.edge.size() < last {
            let Some(leaf) = self.leaf_from_tiles().await? else { break };
            self.add_leaf(leaf).await?;
        }
        Ok(())
    }

    /// The stored leaf hash of the next position; none beyond the newest checkpoint.
    async fn leaf_from_tiles(&mut self) -> Result<Option<Hash>, Unavailable> {
        let next = self.edge.size();
        if next >= self.report.signed {
            return Ok(None);
        }
        let at = usize::try_from(next & 0xff).unwrap_or_default();
        if at == 0 {
            let tiles = self.tree.tiles(&[(0, next >> 8)]).await?;
            self.leaves = tiles.into_iter().next().map(|tile| tile.hashes).unwrap_or_default();
        }
        let hash = self.leaves.chunks_exact(HASH).nth(at).and_then(|hash| hash.try_into().ok());
        Ok(hash.map(Hash))
    }

    async fn add_leaf(&mut self, leaf: Hash) -> Result<(), Unavailable> {
        let mut full_tiles = Vec::new();
        self.edge.push(leaf, &mut full_tiles);
        for tile in full_tiles.iter().filter(|tile| tile.level > 0) {
            self.compare(tile).await?;
        }
        let (size, root) = (self.edge.size(), || self.edge.root());
        let differs = |checkpoint: &Checkpoint| {
            checkpoint.size() == size && root().is_none_or(|root| root != *checkpoint.hash())
        };
        let unsigned = self.signed.as_ref().is_some_and(differs) || self.handovers.iter().any(differs);
        let forked = self.against.kept_checkpoint.is_some_and(differs);
        self.compare_claim();
        if unsigned || size == self.report.signed {
            for tile in self.edge.partial().iter().filter(|tile| tile.level > 0) {
                self.compare(tile).await?;
            }
        }
        if unsigned {
            self.add_finding(Finding::Root { size });
        }
        if forked {
            self.add_finding(Finding::Forked { size });
        }
        Ok(())
    }

    /// Compares a tile above the leaves with the stored one. Each of its hashes covers many events.
    async fn compare(&mut self, tile: &Tile) -> Result<(), Unavailable> {
        let stored = self.tree.tiles(&[(tile.level, tile.index)]).await?;
        let stored = stored.into_iter().next().map(|tile| tile.hashes).unwrap_or_default();
        let under = 1_u64 << (8 * u32::from(tile.level));
        let first = tile.index * under * TILE_WIDTH as u64;
        for (at, ours) in (0..).zip(tile.hashes.chunks_exact(HASH)) {
            let theirs = stored.chunks_exact(HASH).nth(at);
            let first = first + under * at as u64 + 1;
            if theirs != Some(ours) && first + under - 1 <= self.report.signed {
                self.add_finding(Finding::Rehashed { first, last: first + under - 1 });
            }
        }
        Ok(())
    }

    async fn finish(mut self, last: u64) -> Result<Report, Unavailable> {
        self.report.events = last;
        let signed = self.report.signed;
        if self.edge.size() < signed {
            let first = self.edge.size() + 1;
            self.skip_removed_range(first, signed).await?;
        }
        let mismatches = std::mem::take(&mut self.mismatches);
        let signed_at: HashMap<[u8; HASH], u64> =
            mismatches.iter().map(|(seq, _, signed)| (signed.0, *seq)).collect();
        for (seq, leaf, _) in mismatches {
            match signed_at.get(&leaf.0) {
                Some(signed_at) => self.add_finding(Finding::Reordered { seq, signed_at: *signed_at }),
                None => self.add_finding(Finding::Altered { seq }),
            }
        }
        Ok(self.report)
    }

    fn add_finding(&mut self, finding: Finding) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(finding);
        }
    }
}
