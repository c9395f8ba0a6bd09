//! One pass over the events, which rebuilds the tree and compares it with the signed one.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tlog_tiles::{Checkpoint, Hash};
use uuid::Uuid;

use super::{
    report::{Finding, Report, Unproven},
    rotations::{is_archive_proved, is_rotation_proved},
    trust::{CheckedNote, TrustAnchor, TrustedLog},
};
use crate::{
    audit::{
        batch_tag::BatchTagger,
        checkpoint::{self, CheckpointError, SigningKey},
        parsed_event::ParsedEvent,
        tree::{self, Edge, HASH, TILE_WIDTH},
    },
    domain::audit::EventId,
    ports::{EventReader, IndexCheckedEvent, StoredEvent, Tile, TreeStore, Unavailable},
};

/// How many events one read returns.
pub(super) const PAGE: u32 = 1024;

/// The largest number of findings in a report.
const MAX_FINDINGS: usize = 100;
/// The largest number of mismatches that are compared with each other to find reordered events.
const MAX_COMPARED: usize = 4096;

/// A field of each kind of event that needs a proof.
const PROVED_FIELDS: [&str; 3] = ["\"old_verifier\"", "\"archived_root\"", "\"old_root\""];

/// One pass over a log.
pub(super) struct Verifier<'p> {
    tree: &'p dyn TreeStore,
    pub(super) against: &'p TrustAnchor<'p>,
    /// The newest checkpoint.
    pub(super) newest: Option<Checkpoint>,
    /// The keys that may sign.
    pub(super) verifiers: Vec<String>,
    /// Checks the events after the newest checkpoint. None without the signing key.
    pub(super) tagger: Option<Arc<BatchTagger>>,
    /// The checkpoints that were not compared with the tree yet, the largest first.
    notes: Vec<ComparedNote>,
    /// The sizes of the notes that cannot be read with the keys of this log, and why not.
    unread_notes: Vec<(u64, CheckpointError)>,
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

/// A stored checkpoint, which is compared with the tree of its size.
struct ComparedNote {
    size: u64,
    root: Hash,
    is_unproven: bool,
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
        let TrustedLog { verifiers, newest, notes, .. } =
            TrustedLog::load_for_pass(log, tree, against).await?;
        let tagger = against.key_file.and_then(|path| SigningKey::open(path, against.origin).ok());
        let tagger = tagger.map(|key| BatchTagger::new(&key));
        let mut report = Report::default();
        let newest = match newest {
            Ok(newest) => Some(newest.checkpoint),
            Err(reason) => {
                report.findings.push(Finding::Checkpoint(reason));
                None
            }
        };
        report.signed = newest.as_ref().map_or(0, Checkpoint::size);
        if let Some(kept_checkpoint) = against.kept_checkpoint
            && kept_checkpoint.size() > report.signed
        {
            report
                .findings
                .push(Finding::RolledBack { stored_size: kept_checkpoint.size(), now: report.signed });
        }
        let mut verifier = Self {
            tree,
            against,
            newest,
            verifiers,
            tagger,
            notes: Vec::new(),
            unread_notes: Vec::new(),
            claim: None,
            edge: Edge::default(),
            leaves: Vec::new(),
            mismatches: Vec::new(),
            report,
        };
        if verifier.newest.is_some() {
            verifier.add_notes(notes);
        }
        Ok(verifier)
    }

    /// Reports the notes that are not checkpoints of this log, and keeps the others for comparison.
    fn add_notes(&mut self, notes: Vec<CheckedNote>) {
        for CheckedNote { stored_size, content, is_unproven } in notes {
            let checkpoint = match content {
                Ok(checkpoint) => checkpoint,
                Err(error) => {
                    self.unread_notes.push((stored_size, error));
                    continue;
                }
            };
            let (size, root) = (checkpoint.size(), *checkpoint.hash());
            if size != stored_size {
                let reason = format!("it covers {size} events");
                self.add_finding(Finding::Note { size: stored_size, reason });
            }
            self.notes.push(ComparedNote { size, root, is_unproven });
        }
        self.notes.sort_by_key(|note| std::cmp::Reverse(note.size));
        self.compare_notes();
    }

    /// Reports the notes that no key of this log signed. The rotation from the key of a note about archived events
    /// may be archived too, so without the archive it cannot be known.
    pub(super) fn report_unread_notes(&mut self) {
        let unknown = match (&self.report.moved_out, self.against.archive) {
            (Some(moved_out), None) => moved_out.last,
            (Some(_) | None, _) => 0,
        };
        for (size, error) in std::mem::take(&mut self.unread_notes) {
            if size > unknown || !matches!(error, CheckpointError::Signature(_)) {
                self.add_finding(Finding::Note { size, reason: error.to_string() });
            }
        }
    }

    /// Compares the notes of the current size with the tree.
    fn compare_notes(&mut self) {
        let size = self.edge.size();
        while let Some(note) = self.notes.pop_if(|note| note.size <= size) {
            if self.edge.root() != Some(note.root) {
                self.add_finding(Finding::Root { size });
            } else if note.is_unproven {
                self.report.unproven.push(Unproven::Checkpoint { size });
            }
        }
    }

    /// The last event of the time before there were proofs.
    pub(super) fn unproven_through(&self) -> u64 {
        self.newest.as_ref().map_or(0, |newest| checkpoint::format_after(newest).unwrap_or(newest.size()))
    }

    pub(super) async fn check_page(&mut self, page: &[IndexCheckedEvent]) -> Result<(), Unavailable> {
        for IndexCheckedEvent { event, mismatches: wrong } in page {
            let (seq, expected) = (event.seq, self.edge.size() + 1);
            let is_intact = if seq > self.report.signed {
                // No checkpoint covers it. `check_unsigned` checks it. That the log was restarted is said anyway.
                if seq == 1 {
                    self.check_proof(seq, event.body.as_bytes());
                }
                true
            } else if seq < expected {
                self.add_finding(Finding::Duplicate { seq });
                false
            } else {
                if seq > expected {
                    self.skip_removed_range(expected, seq - 1).await?;
                }
                self.is_signed(seq, event.body.as_bytes()).await?
            };
            if is_intact && !wrong.is_empty() {
                self.add_finding(Finding::Mislabelled { seq, columns: wrong.join(", ") });
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
        if same {
            self.check_proof(seq, body);
        }
        self.add_leaf(signed).await?;
        Ok(same)
    }

    /// Reports an event that changes whom or what the log trusts if it has no proof.
    fn check_proof(&mut self, seq: u64, body: &[u8]) {
        let Some(body) = std::str::from_utf8(body)
            .ok()
            .filter(|body| PROVED_FIELDS.iter().any(|field| body.contains(field)))
        else {
            return;
        };
        let stored = StoredEvent { seq, id: EventId(Uuid::nil()), tenant: None, body: body.to_owned() };
        let Ok(ParsedEvent { archived, rotated, restarted, .. }) = ParsedEvent::try_from(&stored) else {
            return;
        };
        if let Some(restarted) = restarted {
            self.check_restart(seq, restarted);
        }
        let origin = self.against.origin;
        let (unproven, what) = match (rotated, archived) {
            (Some(rotated), _) if !is_rotation_proved(&rotated, origin) => {
                (Unproven::Rotation { seq }, "that another key signs the log")
            }
            (_, Some(archived)) if !is_archive_proved(&archived, origin, &self.verifiers) => {
                (Unproven::Archive { seq }, "that events were archived")
            }
            (Some(_) | None, _) => return,
        };
        if seq <= self.unproven_through() {
            self.report.unproven.push(unproven);
        } else {
            self.add_finding(Finding::Unproved { seq, what });
        }
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
            let last = self.report.signed.min(next + TILE_WIDTH as u64);
            let present = next + (self.leaves.len() / HASH) as u64;
            if present < last {
                self.add_finding(Finding::HashesMissing { first: present + 1, last });
            }
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
        let size = self.edge.size();
        self.compare_claim();
        if size == self.report.signed {
            for tile in self.edge.partial().iter().filter(|tile| tile.level > 0) {
                self.compare(tile).await?;
            }
        }
        self.compare_notes();
        let kept = self.against.kept_checkpoint.filter(|kept| kept.size() == size);
        if kept.is_some_and(|kept| self.edge.root() != Some(*kept.hash())) {
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

    pub(super) fn add_finding(&mut self, finding: Finding) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(finding);
        }
    }
}
