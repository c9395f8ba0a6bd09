//! One pass over the events, which rebuilds the tree and compares it with the signed one.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tlog_tiles::{Checkpoint, Hash};

use super::{
    report::{Finding, Report},
    trust::{self, TrustAnchor, TrustedKeys},
};
use crate::{
    audit::tree::{self, Edge, HASH, TILE_WIDTH},
    ports::{EventReader, IndexCheckedEvent, Tile, TreeStore, Unavailable},
};

/// How many events one read returns.
pub(super) const PAGE: u32 = 1024;

/// The largest number of findings in a report.
const MAX_FINDINGS: usize = 100;
/// The largest number of mismatches that are compared with each other to find reordered events.
const MAX_COMPARED: usize = 4096;

/// One pass over a log.
pub(super) struct Verifier<'p> {
    tree: &'p dyn TreeStore,
    pub(super) against: &'p TrustAnchor<'p>,
    signed: Option<Checkpoint>,
    /// Checkpoints at which one signing key handed over to the next.
    handovers: Vec<Checkpoint>,
    /// The `Archive` event whose root has not been compared yet.
    pub(super) claim: Option<ArchiveClaim>,
    /// The tree, rebuilt from the stored leaf hashes.
    pub(super) edge: Edge,
    /// The stored leaf hashes of the tile that contains the next position.
    leaves: Vec<u8>,
    mismatches: Vec<Mismatch>,
    pub(super) report: Report,
}

/// The content of an `Archive` event.
#[derive(Clone, Debug)]
pub(super) struct ArchiveClaim {
    pub(super) last: u64,
    pub(super) root: String,
    pub(super) claimed: u64,
}

/// A position whose leaf hash differs from the signed one.
struct Mismatch {
    seq: u64,
    actual: Hash,
    signed: Hash,
}

// === impl Verifier ===

impl<'p> Verifier<'p> {
    pub(super) async fn begin(
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

    pub(super) async fn check_page(&mut self, page: &[IndexCheckedEvent]) -> Result<(), Unavailable> {
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
    pub(super) async fn is_signed(&mut self, seq: u64, body: &[u8]) -> Result<bool, Unavailable> {
        let leaf = tree::leaf(body);
        let signed = self.leaf_from_tiles().await?.unwrap_or(leaf);
        let same = leaf == signed;
        if !same && self.mismatches.len() < MAX_COMPARED {
            self.mismatches.push(Mismatch { seq, actual: leaf, signed });
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
    pub(super) async fn leaf_from_tiles(&mut self) -> Result<Option<Hash>, Unavailable> {
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

    pub(super) async fn add_leaf(&mut self, leaf: Hash) -> Result<(), Unavailable> {
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

    pub(super) async fn finish(mut self, last: u64) -> Result<Report, Unavailable> {
        self.report.events = last;
        let signed = self.report.signed;
        if self.edge.size() < signed {
            let first = self.edge.size() + 1;
            self.skip_removed_range(first, signed).await?;
        }
        let mismatches = std::mem::take(&mut self.mismatches);
        let signed_at: HashMap<[u8; HASH], u64> =
            mismatches.iter().map(|mismatch| (mismatch.signed.0, mismatch.seq)).collect();
        for Mismatch { seq, actual, signed: _ } in mismatches {
            match signed_at.get(&actual.0) {
                Some(signed_at) => self.add_finding(Finding::Reordered { seq, signed_at: *signed_at }),
                None => self.add_finding(Finding::Altered { seq }),
            }
        }
        Ok(self.report)
    }

    /// Compares the root with the claim when the tree has reached the last archived event.
    fn compare_claim(&mut self) {
        let Some(claim) = self.claim.take_if(|claim| claim.last == self.edge.size()) else { return };
        let root = self.edge.root().map(|root| BASE64_STANDARD.encode(root.0));
        if root.as_deref() != Some(&*claim.root) {
            self.add_finding(Finding::Archived { last: claim.last, claimed: claim.claimed });
        }
    }

    fn add_finding(&mut self, finding: Finding) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(finding);
        }
    }
}
