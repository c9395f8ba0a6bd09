//! Checks a log against itself, its signed checkpoint, and a checkpoint that an auditor kept. One pass
//! over the events in bounded memory; says at which event, and in what way, the log was changed.

mod archived;
mod trust;

use std::collections::HashMap;

use thiserror::Error;
use tlog_tiles::{Checkpoint, Hash};

use self::{archived::ArchiveClaim, trust::TrustedKeys};
pub use self::{archived::ArchivedRanges, trust::trusted};
use super::{
    archive::ArchiveReader,
    tree::{Edge, HASH, WHOLE},
};
use crate::ports::{EventReader, IndexCheckedEvent, Tile, TreeStore, Unavailable};

/// How many events are read at once.
const PAGE: u32 = 1024;
/// Most findings that are told; a log with more is changed all the same.
const MAX_FINDINGS: usize = 100;
/// Most altered events among which it is looked for what was reordered.
const MAX_COMPARED: usize = 4096;

/// What a log is checked against.
#[derive(Clone, Debug)]
pub struct TrustAnchor<'k> {
    /// The log's name.
    pub origin: &'k str,
    /// The verifier keys of the log.
    pub verifiers: &'k [String],
    /// A checkpoint that was kept elsewhere.
    pub kept_checkpoint: Option<&'k Checkpoint>,
    /// Where events are that were moved out.
    pub archive: Option<&'k ArchiveReader>,
}

/// How a log was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Finding {
    /// Its bytes are not those that were signed.
    #[error("event {seq} was altered")]
    Altered {
        /// Its place.
        seq: u64,
    },
    /// It stands where another one stood.
    #[error("events were reordered: at {seq} stands the event that was signed at {signed_at}")]
    Reordered {
        /// Where it is.
        seq: u64,
        /// Where it was.
        signed_at: u64,
    },
    /// Events were taken out.
    #[error("events {first} to {last} were removed")]
    Removed {
        /// The first one.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// The store finds the event by something else than its bytes say.
    #[error("event {seq} is indexed as something else than it says: {columns}")]
    Mislabelled {
        /// Its place.
        seq: u64,
        /// By what.
        columns: String,
    },
    /// The archive, or what the log says of it, is of other events.
    #[error(
        "events 1 to {last} were moved out, and their hashes are not those that the log's event {claimed} names"
    )]
    Archived {
        /// The last one's place.
        last: u64,
        /// The event that says so.
        claimed: u64,
    },
    /// Events and the hashes over them were changed together.
    #[error("events {first} to {last} were altered, together with the hashes over them")]
    Rehashed {
        /// The first event under the hash that does not fit.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// The hashes do not give the root that was signed.
    #[error("the log's first {size} events are not those that its checkpoint signs")]
    Root {
        /// The checkpoint's size.
        size: u64,
    },
    /// There is no checkpoint, or it is not the log's own.
    #[error("the log's newest checkpoint cannot be relied on: {0}")]
    Checkpoint(String),
    /// The log is shorter than it was.
    #[error(
        "the log was rolled back: it has a checkpoint of {now} events, and one of {stored_size} was kept"
    )]
    RolledBack {
        /// The size that was kept.
        stored_size: u64,
        /// The size that it has.
        now: u64,
    },
    /// The log has another past than the one that was kept.
    #[error("the log was forked: its first {size} events are not those of the checkpoint that was kept")]
    Forked {
        /// The size that was kept.
        size: u64,
    },
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many events there are.
    pub events: u64,
    /// How many of them the newest checkpoint covers.
    pub signed: u64,
    /// In what way it was changed; empty where it is whole.
    pub findings: Vec<Finding>,
    /// The events that were moved out to an archive, as the log itself says.
    pub moved_out: Option<ArchivedRanges>,
}

/// One pass over a log.
struct Verifier<'p> {
    tree: &'p dyn TreeStore,
    against: &'p TrustAnchor<'p>,
    signed: Option<Checkpoint>,
    /// Checkpoints at which one key handed over to the next.
    handovers: Vec<Checkpoint>,
    /// What the log says was moved out.
    claim: Option<ArchiveClaim>,
    /// The tree as its stored leaf hashes make it.
    edge: Edge,
    /// The stored leaf hashes from the tile in which the edge stands.
    leaves: Vec<u8>,
    /// What stands at a place and what was signed there, where that differs.
    found: Vec<(u64, Hash, Hash)>,
    report: Report,
}

/// Checks the log; `progress` is told how many events were checked, now and then.
///
/// # Errors
///
/// [`Unavailable`], where it cannot be told.
pub async fn verify(
    log: &dyn EventReader,
    tree: &dyn TreeStore,
    against: &TrustAnchor<'_>,
    mut progress: impl FnMut(u64),
) -> Result<Report, Unavailable> {
    let mut pass = Verifier::begin(log, tree, against).await?;
    let mut last = pass.archived_ranges(log, &mut progress).await?;
    let mut page = log.index_check(last, PAGE).await?;
    while let Some(newest) = page.last() {
        last = newest.event.seq;
        // The store reads the next ones while these are checked.
        let (next, taken) = tokio::join!(log.index_check(last, PAGE), pass.check_event(&page));
        taken?;
        page = next?;
        progress(last);
    }
    pass.finish(last).await
}

// === impl Pass ===

impl<'p> Verifier<'p> {
    async fn begin(
        log: &dyn EventReader,
        tree: &'p dyn TreeStore,
        against: &'p TrustAnchor<'p>,
    ) -> Result<Self, Unavailable> {
        let mut report = Report::default();
        let TrustedKeys { handovers, newest } = trust::apply_rotation(log, tree, against).await?;
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
        let (edge, leaves, found, claim) = (Edge::default(), Vec::new(), Vec::new(), None);
        Ok(Self { tree, against, signed, handovers, claim, edge, leaves, found, report })
    }

    async fn check_event(&mut self, page: &[IndexCheckedEvent]) -> Result<(), Unavailable> {
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

    /// Adds the leaf that was signed at this place, and tells whether it is that of these bytes.
    async fn is_signed(&mut self, seq: u64, body: &[u8]) -> Result<bool, Unavailable> {
        let leaf = tlog_tiles::record_hash(body);
        let signed = self.leaf_from_tiles().await?.unwrap_or(leaf);
        let same = leaf == signed;
        if !same && self.found.len() < MAX_COMPARED {
            self.found.push((seq, leaf, signed));
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

    /// The leaf hash that was stored for the next place, as far as the checkpoint goes.
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
        let mut whole = Vec::new();
        self.edge.push(leaf, &mut whole);
        for tile in whole.iter().filter(|tile| tile.level > 0) {
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

    /// Compares a tile above the leaves with the stored one: each hash stands over many events.
    async fn compare(&mut self, tile: &Tile) -> Result<(), Unavailable> {
        let stored = self.tree.tiles(&[(tile.level, tile.index)]).await?;
        let stored = stored.into_iter().next().map(|tile| tile.hashes).unwrap_or_default();
        let under = 1_u64 << (8 * u32::from(tile.level));
        let first = tile.index * under * WHOLE as u64;
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
        let found = std::mem::take(&mut self.found);
        let signed_at: HashMap<[u8; HASH], u64> =
            found.iter().map(|(seq, _, signed)| (signed.0, *seq)).collect();
        for (seq, leaf, _) in found {
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
