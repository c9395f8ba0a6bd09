//! Reads the key rotations in a log and its archive, and checks their proofs.

use tlog_tiles::{Checkpoint, Hash};

use crate::{
    audit::{
        archive::archive_reader::ArchiveReader,
        parsed_event::{ArchivedEvent, ParsedEvent, RotatedEvent},
        proof::Statement,
        prove::{self, ProofError},
        tree,
    },
    ports::{EventFilter, EventReader, StoredEvent, TreeStore, Unavailable},
};

/// `api.operation` of the event that names both keys.
const ACTION: &str = "RotateKey";
/// How many events one read returns.
const PAGE: u32 = 256;

/// A key rotation, as an event of the log describes it.
pub(super) struct KeyRotation {
    pub(super) seq: u64,
    pub(super) from: String,
    pub(super) to: String,
    /// Whether both keys signed it.
    pub(super) is_proved: bool,
    leaf: Hash,
}

// === impl KeyRotation ===

impl KeyRotation {
    fn parse(event: &StoredEvent, origin: &str) -> Option<Self> {
        let rotated = ParsedEvent::try_from(event).ok()?.rotated?;
        let is_proved = is_rotation_proved(&rotated, origin);
        let RotatedEvent { from, to, proof: _ } = rotated;
        Some(Self { seq: event.seq, from, to, is_proved, leaf: tree::leaf(event.body.as_bytes()) })
    }

    /// Whether the tree of the checkpoint has the event at its position.
    pub(super) async fn is_included(
        &self,
        tree: &dyn TreeStore,
        checkpoint: &Checkpoint,
    ) -> Result<bool, Unavailable> {
        let (seq, size) = (self.seq, checkpoint.size());
        let proof = match prove::inclusion(tree, seq, size).await {
            Ok(proof) => proof,
            Err(ProofError::Unavailable(error)) => return Err(error),
            Err(ProofError::NotCovered { .. } | ProofError::Damaged) => return Ok(false),
        };
        Ok(tlog_tiles::check_record(&proof, size, *checkpoint.hash(), seq - 1, self.leaf).is_ok())
    }
}

/// Every key rotation in the log and in the archive.
pub(super) async fn collect(
    log: &dyn EventReader,
    archive: Option<&ArchiveReader>,
    origin: &str,
) -> Result<Vec<KeyRotation>, Unavailable> {
    let mut found = Vec::new();
    if let Some(archive) = archive {
        found.extend(archive.with_action(ACTION).await?);
    }
    found.extend(events_with_action(log, ACTION, u64::MAX).await?);
    Ok(found.iter().filter_map(|event| KeyRotation::parse(event, origin)).collect())
}

/// The events with this action up to a position, oldest first.
pub(super) async fn events_with_action(
    log: &dyn EventReader,
    action: &str,
    through: u64,
) -> Result<Vec<StoredEvent>, Unavailable> {
    let mut found: Vec<StoredEvent> = Vec::new();
    loop {
        let after = found.last().map(|event| event.seq);
        let filter = EventFilter { action: Some(action.to_owned()), after, ..EventFilter::default() };
        let page = log.next(&filter, through, PAGE).await?;
        if page.is_empty() {
            return Ok(found);
        }
        found.extend(page);
    }
}

/// Whether both keys signed the statement of the rotation.
pub(super) fn is_rotation_proved(rotated: &RotatedEvent, origin: &str) -> bool {
    let RotatedEvent { from, to, proof } = rotated;
    let statement = Statement::Rotation { from, to };
    proof.as_ref().is_some_and(|proof| statement.verify(proof, origin, &[from, to]).is_some())
}

/// Whether one of the keys signed the statement of the archive.
pub(super) fn is_archive_proved(archived: &ArchivedEvent, origin: &str, verifiers: &[String]) -> bool {
    let ArchivedEvent { last, root, proof } = archived;
    let statement = Statement::Archive { last: *last, root };
    let is_by = |key: &String, proof: &str| statement.verify(proof, origin, &[key]).is_some();
    proof.as_ref().is_some_and(|proof| verifiers.iter().any(|key| is_by(key, proof)))
}
