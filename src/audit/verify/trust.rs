//! Which keys may sign the log, beginning with those that are known: a key that hands over to another
//! one signs a checkpoint over the event that names both.

use tlog_tiles::Checkpoint;

use super::{
    super::{checkpoint, view::View},
    Against,
};
use crate::ports::{EventFilter, EventReader, StoredEvent, TreeStore, Unavailable};

/// Most changes of keys that are followed.
const MOST: u32 = 1000;
/// `api.operation` of the event that names both keys.
const ACTION: &str = "RotateKey";

/// The keys that may sign, and where one handed over to the next.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) verifiers: Vec<String>,
    pub(super) handovers: Vec<Checkpoint>,
}

/// A change of keys, as an event of the log says it.
struct Rotated {
    seq: u64,
    from: String,
    to: String,
}

/// The keys that may sign, as far as the log leads there from those that are known. It is for a pass
/// over the log to show that what this was taken from is what was signed.
///
/// # Errors
///
/// [`Unavailable`], where it cannot be told.
pub async fn trusted(
    log: &dyn EventReader,
    tree: &dyn TreeStore,
    origin: &str,
    known: &[String],
) -> Result<Vec<String>, Unavailable> {
    let against = Against { origin, verifiers: known, kept: None, archive: None };
    Ok(follow(log, tree, &against).await?.verifiers)
}

pub(super) async fn follow(
    log: &dyn EventReader,
    tree: &dyn TreeStore,
    against: &Against<'_>,
) -> Result<Trust, Unavailable> {
    let origin = against.origin;
    let mut rotations = rotations(log, against).await?;
    let handovers = tree.handovers().await?;
    let newest = tree.checkpoint().await?;
    let mut verifiers = against.verifiers.to_vec();
    loop {
        let before = verifiers.len();
        for note in handovers.iter().chain(&newest) {
            let note = note.note.as_bytes();
            for Rotated { seq, from, to } in &rotations {
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
            break;
        }
    }
    rotations.clear();
    let read = |note: &str| checkpoint::read(note.as_bytes(), origin, &verifiers).ok();
    let handovers = handovers.iter().filter_map(|signed| read(&signed.note)).collect();
    Ok(Trust { verifiers, handovers })
}

/// Every change of keys, of the archive too.
async fn rotations(log: &dyn EventReader, against: &Against<'_>) -> Result<Vec<Rotated>, Unavailable> {
    let filter = EventFilter { action: Some(ACTION.to_owned()), ..EventFilter::default() };
    let mut found: Vec<StoredEvent> = log.list(&filter, None, MOST).await?;
    if let Some(archive) = against.archive {
        found.extend(archive.with_action(ACTION).await?);
    }
    let rotated = |event: &StoredEvent| {
        let (from, to) = View::try_from(event).ok()?.rotated?;
        Some(Rotated { seq: event.seq, from, to })
    };
    Ok(found.iter().filter_map(rotated).collect())
}
