//! Which keys may sign the log, beginning with those that are known: a key that hands over to another
//! one signs a checkpoint over the event that names both.

use tlog_tiles::Checkpoint;

use super::{
    super::{archive::ArchiveReader, checkpoint, parsed_event::ParsedEvent},
    TrustAnchor,
};
use crate::ports::{EventFilter, EventReader, SignedCheckpoint, StoredEvent, TreeStore, Unavailable};

/// Most changes of keys that are followed.
const MAX: u32 = 1000;
/// `api.operation` of the event that names both keys.
const ACTION: &str = "RotateKey";

/// Where one key handed over to the next, and the newest checkpoint by the keys that may sign: all as of one
/// moment, whoever signs meanwhile.
#[derive(Debug)]
pub(super) struct TrustedKeys {
    pub(super) handovers: Vec<Checkpoint>,
    /// Why it cannot be relied on, where it cannot.
    pub(super) newest: Result<Checkpoint, String>,
}

/// The checkpoints that say who may sign.
struct Signed {
    handovers: Vec<SignedCheckpoint>,
    newest: Option<SignedCheckpoint>,
}

/// A change of keys, as an event of the log says it.
struct Rotated {
    seq: u64,
    from: String,
    to: String,
}

/// The keys that may sign, as far as the log and what was moved out of it lead there from those that are
/// known. It is for a pass over both to show that what this was taken from is what was signed.
///
/// # Errors
///
/// [`Unavailable`], where it cannot be told.
pub async fn trusted(
    log: &dyn EventReader,
    tree: &dyn TreeStore,
    origin: &str,
    trusted_keys: &[String],
    archive: Option<&ArchiveReader>,
) -> Result<Vec<String>, Unavailable> {
    let signed = Signed::collect(tree).await?;
    let rotations = rotations(log, archive).await?;
    Ok(signed.first_key(origin, trusted_keys, &rotations))
}

/// The same for a pass, which needs what it can read the log's own checkpoints with and no more. Events
/// are found by their action alone, so that every one of them is looked at: only where that is needed.
pub(super) async fn apply_rotation(
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
        signed.first_key(origin, verifiers, &rotations(log, archive).await?)
    };
    let handovers = signed.handovers.iter().filter_map(|note| read(note, &verifiers).ok()).collect();
    let newest = signed.newest.as_ref().ok_or_else(|| "there is none".to_owned());
    let newest = newest.and_then(|note| read(note, &verifiers).map_err(|error| error.to_string()));
    Ok(TrustedKeys { handovers, newest })
}

// === impl Signed ===

impl Signed {
    async fn collect(tree: &dyn TreeStore) -> Result<Self, Unavailable> {
        // In this order, so that every handover on the way to the newest one is among them.
        let newest = tree.checkpoint().await?;
        Ok(Self { handovers: tree.key_rotations().await?, newest })
    }

    fn notes(&self) -> impl Iterator<Item = &SignedCheckpoint> {
        self.handovers.iter().chain(&self.newest)
    }

    /// The keys to which those that are known lead.
    fn first_key(&self, origin: &str, trusted_keys: &[String], rotations: &[Rotated]) -> Vec<String> {
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
                    // Forward: the old key signs the event that names the new one. Back: the new key does.
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

/// Every change of keys, of the archive too.
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
