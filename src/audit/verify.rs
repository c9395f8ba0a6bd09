//! Checks a log against itself, its signed checkpoint, and a checkpoint that an auditor kept. One pass
//! over the events in bounded memory; says at which event, and in what way, the log was changed.

mod archived;
mod trust;

use std::collections::HashMap;

use thiserror::Error;
use tlog_tiles::{Checkpoint, Hash};

use self::{archived::Claim, trust::Trust};
pub use self::{archived::MovedOut, trust::trusted};
use super::{
    archive::Archive,
    tree::{Edge, HASH, WHOLE},
};
use crate::ports::{Checked, EventReader, Tile, TreeStore, Unavailable};

/// How many events are read at once.
const PAGE: u32 = 1024;
/// Most findings that are told; a log with more is changed all the same.
const MOST: usize = 100;
/// Most altered events among which it is looked for what was reordered.
const MOST_COMPARED: usize = 4096;

/// What a log is checked against.
#[derive(Clone, Debug)]
pub struct Against<'k> {
    /// The log's name.
    pub origin: &'k str,
    /// The verifier keys of the log.
    pub verifiers: &'k [String],
    /// A checkpoint that was kept elsewhere.
    pub kept: Option<&'k Checkpoint>,
    /// Where events are that were moved out.
    pub archive: Option<&'k Archive>,
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
        "events 1 to {last} were moved out, and their hashes are not those that the log's event {said} names"
    )]
    Archived {
        /// The last one's place.
        last: u64,
        /// The event that says so.
        said: u64,
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
    #[error("the log was rolled back: it has a checkpoint of {now} events, and one of {kept} was kept")]
    RolledBack {
        /// The size that was kept.
        kept: u64,
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
    pub moved_out: Option<MovedOut>,
}

/// One pass over a log.
struct Pass<'p> {
    tree: &'p dyn TreeStore,
    against: &'p Against<'p>,
    signed: Option<Checkpoint>,
    /// Checkpoints at which one key handed over to the next.
    handovers: Vec<Checkpoint>,
    /// What the log says was moved out.
    claim: Option<Claim>,
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
    against: &Against<'_>,
    mut progress: impl FnMut(u64),
) -> Result<Report, Unavailable> {
    let mut pass = Pass::begin(log, tree, against).await?;
    let mut last = pass.moved_out(log, &mut progress).await?;
    let mut page = log.checked(last, PAGE).await?;
    while let Some(newest) = page.last() {
        last = newest.event.seq;
        // The store reads the next ones while these are checked.
        let (next, taken) = tokio::join!(log.checked(last, PAGE), pass.take(&page));
        taken?;
        page = next?;
        progress(last);
    }
    pass.finish(last).await
}

// === impl Pass ===

impl<'p> Pass<'p> {
    async fn begin(
        log: &dyn EventReader,
        tree: &'p dyn TreeStore,
        against: &'p Against<'p>,
    ) -> Result<Self, Unavailable> {
        let mut report = Report::default();
        let Trust { handovers, newest } = trust::follow(log, tree, against).await?;
        let signed = match newest {
            Ok(signed) => Some(signed),
            Err(why) => {
                report.findings.push(Finding::Checkpoint(why));
                None
            }
        };
        report.signed = signed.as_ref().map_or(0, Checkpoint::size);
        if let Some(kept) = against.kept
            && kept.size() > report.signed
        {
            report.findings.push(Finding::RolledBack { kept: kept.size(), now: report.signed });
        }
        let (edge, leaves, found, claim) = (Edge::default(), Vec::new(), Vec::new(), None);
        Ok(Self { tree, against, signed, handovers, claim, edge, leaves, found, report })
    }

    async fn take(&mut self, page: &[Checked]) -> Result<(), Unavailable> {
        for Checked { event, wrong } in page {
            let expected = self.edge.size() + 1;
            if event.seq > expected {
                self.removed(expected, event.seq - 1).await?;
            }
            if self.is_signed(event.seq, event.body.as_bytes()).await? && !wrong.is_empty() {
                self.tell(Finding::Mislabelled { seq: event.seq, columns: wrong.join(", ") });
            }
        }
        Ok(())
    }

    /// Adds the leaf that was signed at this place, and tells whether it is that of these bytes.
    async fn is_signed(&mut self, seq: u64, body: &[u8]) -> Result<bool, Unavailable> {
        let leaf = tlog_tiles::record_hash(body);
        let signed = self.stored_leaf().await?.unwrap_or(leaf);
        let same = leaf == signed;
        if !same && self.found.len() < MOST_COMPARED {
            self.found.push((seq, leaf, signed));
        } else if !same {
            self.tell(Finding::Altered { seq });
        }
        self.push(signed).await?;
        Ok(same)
    }

    async fn removed(&mut self, first: u64, last: u64) -> Result<(), Unavailable> {
        self.tell(Finding::Removed { first, last });
        while self.edge.size() < last {
            let Some(leaf) = self.stored_leaf().await? else { break };
            self.push(leaf).await?;
        }
        Ok(())
    }

    /// The leaf hash that was stored for the next place, as far as the checkpoint goes.
    async fn stored_leaf(&mut self) -> Result<Option<Hash>, Unavailable> {
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

    async fn push(&mut self, leaf: Hash) -> Result<(), Unavailable> {
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
        let forked = self.against.kept.is_some_and(differs);
        self.compare_claim();
        if unsigned || size == self.report.signed {
            for tile in self.edge.partial().iter().filter(|tile| tile.level > 0) {
                self.compare(tile).await?;
            }
        }
        if unsigned {
            self.tell(Finding::Root { size });
        }
        if forked {
            self.tell(Finding::Forked { size });
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
                self.tell(Finding::Rehashed { first, last: first + under - 1 });
            }
        }
        Ok(())
    }

    async fn finish(mut self, last: u64) -> Result<Report, Unavailable> {
        self.report.events = last;
        let signed = self.report.signed;
        if self.edge.size() < signed {
            let first = self.edge.size() + 1;
            self.removed(first, signed).await?;
        }
        let found = std::mem::take(&mut self.found);
        let signed_at: HashMap<[u8; HASH], u64> =
            found.iter().map(|(seq, _, signed)| (signed.0, *seq)).collect();
        for (seq, leaf, _) in found {
            match signed_at.get(&leaf.0) {
                Some(signed_at) => self.tell(Finding::Reordered { seq, signed_at: *signed_at }),
                None => self.tell(Finding::Altered { seq }),
            }
        }
        Ok(self.report)
    }

    fn tell(&mut self, finding: Finding) {
        if self.report.findings.len() < MOST {
            self.report.findings.push(finding);
        }
    }
}
