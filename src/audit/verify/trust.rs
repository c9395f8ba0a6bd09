//! Finds the keys that may sign the log, starting from trusted keys. When one key hands over to another,
//! it signs a checkpoint over the event that names both.

use tlog_tiles::Checkpoint;

use crate::{
    audit::{archive::archive_reader::ArchiveReader, checkpoint, parsed_event::ParsedEvent},
    ports::{EventFilter, EventReader, SignedCheckpoint, StoredEvent, TreeStore, Unavailable},
};

/// The largest number of key rotations that are followed.
const MAX: u32 = 1000;
/// `api.operation` of the event that names both keys.
const ACTION: &str = "RotateKey";

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

/// The handover checkpoints and the newest checkpoint, as signed by trusted keys. They are read at one
/// moment, so that a signature made meanwhile does not matter.
#[derive(Debug)]
pub(super) struct TrustedKeys {
    pub(super) handovers: Vec<Checkpoint>,
    /// The error says why the checkpoint cannot be trusted.
    pub(super) newest: Result<Checkpoint, String>,
}

/// The stored checkpoints that show which keys may sign.
struct Signed {
    handovers: Vec<SignedCheckpoint>,
    newest: Option<SignedCheckpoint>,
}

/// A key rotation, as an event of the log describes it.
struct Rotated {
    seq: u64,
    from: String,
    to: String,
}

/// The keys that may sign: the trusted ones, and those to which rotations in the log and its archive lead.
/// The events are not verified here; a pass over the log and its archive does that.
///
/// # Errors
///
/// [`Unavailable`] if the log or the archive cannot be read.
pub async fn trusted(
    log: &dyn EventReader,
    tree: &dyn TreeStore,
    origin: &str,
    trusted_keys: &[String],
    archive: Option<&ArchiveReader>,
) -> Result<Vec<String>, Unavailable> {
    let signed = Signed::collect(tree).await?;
    let rotations = rotations(log, archive).await?;
    Ok(signed.follow_rotations(origin, trusted_keys, &rotations))
}

/// The checkpoints that a pass over the log needs. Follows rotations only if the given keys did not sign
/// every checkpoint, because finding the rotation events reads every event.
pub(super) async fn checkpoints(
    log: &dyn EventReader,
    tree: &dyn TreeStore,
    against: &TrustAnchor<'_>,
) -> Result<TrustedKeys, Unavailable> {
    let TrustAnchor { origin, verifiers, archive, kept_checkpoint: _ } = *against;
    let signed = Signed::collect(tree).await?;
    let read =
        |signed: &SignedCheckpoint, by: &[String]| checkpoint::read(signed.note.as_bytes(), origin, by);
    let verifiers = if signed.notes().all(|note| read(note, verifiers).is_ok()) {
        verifiers.to_vec()
    } else {
        signed.follow_rotations(origin, verifiers, &rotations(log, archive).await?)
    };
    let handovers = signed.handovers.iter().filter_map(|note| read(note, &verifiers).ok()).collect();
    let newest = signed.newest.as_ref().ok_or_else(|| "the log has no checkpoint".to_owned());
    let newest = newest.and_then(|note| read(note, &verifiers).map_err(|error| error.to_string()));
    Ok(TrustedKeys { handovers, newest })
}

// === impl Signed ===

impl Signed {
    async fn collect(tree: &dyn TreeStore) -> Result<Self, Unavailable> {
        // Read the newest checkpoint first, so that every handover that leads to it is included.
        let newest = tree.checkpoint().await?;
        Ok(Self { handovers: tree.key_rotations().await?, newest })
    }

    fn notes(&self) -> impl Iterator<Item = &SignedCheckpoint> {
        self.handovers.iter().chain(&self.newest)
    }

    /// The trusted keys, and every key to which a rotation from one of them leads.
    fn follow_rotations(&self, origin: &str, trusted_keys: &[String], rotations: &[Rotated]) -> Vec<String> {
        let mut verifiers = trusted_keys.to_vec();
        loop {
            let before = verifiers.len();
            for note in self.notes() {
                let note = note.note.as_bytes();
                for Rotated { seq, from, to } in rotations {
                    let by = |key: &String| {
                        let read = checkpoint::read(note, origin, std::slice::from_ref(key));
                        verifiers.contains(key) && read.is_ok_and(|read| read.size() >= *seq)
                    };
                    // To go forward, the old key must have signed the event that names the new key. To go
                    // back, the new key must have signed it.
                    let more = if by(from) {
                        to
                    } else if by(to) {
                        from
                    } else {
                        continue;
                    };
                    if !verifiers.contains(more) {
                        verifiers.push(more.clone());
                    }
                }
            }
            if verifiers.len() == before {
                return verifiers;
            }
        }
    }
}

/// Every key rotation in the log and in the archive.
async fn rotations(
    log: &dyn EventReader,
    archive: Option<&ArchiveReader>,
) -> Result<Vec<Rotated>, Unavailable> {
    let filter = EventFilter { action: Some(ACTION.to_owned()), ..EventFilter::default() };
    let mut found: Vec<StoredEvent> = log.list(&filter, None, MAX).await?;
    if let Some(archive) = archive {
        found.extend(archive.with_action(ACTION).await?);
    }
    let rotated = |event: &StoredEvent| {
        let (from, to) = ParsedEvent::try_from(event).ok()?.rotated?;
        Some(Rotated { seq: event.seq, from, to })
    };
    Ok(found.iter().filter_map(rotated).collect())
}
