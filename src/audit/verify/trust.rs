//! Finds the keys that may sign the log, starting from trusted keys. When one key hands over to another, both
//! sign a statement about it, and the former key signs a checkpoint over the event with the statement. What
//! the database says outside signed notes is not evidence.

use std::path::Path;

use tlog_tiles::Checkpoint;

use super::rotations::{self, KeyRotation};
use crate::{
    audit::{
        archive::archive_reader::ArchiveReader,
        checkpoint::{self, CheckpointError},
        export::Handover,
    },
    ports::{EventReader, SignedCheckpoint, TreeStore, Unavailable},
};

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
    /// The file of the signing key, with which the events after the newest checkpoint are checked. It is read
    /// again at that time, because the key may have been rotated meanwhile.
    pub key_file: Option<&'k Path>,
}

/// The keys that a log leads to, and its checkpoints, read at one moment. The events are not verified; a pass
/// over the log and its archive does that.
#[derive(Debug)]
pub struct TrustedLog {
    /// The trusted keys, and those to which proved rotations lead. They may sign.
    pub verifiers: Vec<String>,
    /// Keys that only rotations without a proof name, from the time of an earlier release.
    pub unproven_verifiers: Vec<String>,
    /// The largest checkpoint that a trusted key signed. The error says why there is none.
    pub newest: Result<NewestCheckpoint, String>,
    /// The checkpoints of key rotations.
    pub handovers: Vec<Handover>,
    pub(super) notes: Vec<CheckedNote>,
}

/// The newest checkpoint.
#[derive(Debug)]
pub struct NewestCheckpoint {
    /// Its content.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: String,
}

/// A note in the store.
#[derive(Debug)]
pub(super) struct CheckedNote {
    /// The size according to the store.
    pub(super) stored_size: u64,
    pub(super) content: Result<Checkpoint, CheckpointError>,
    /// Whether only a key without a proof signed it.
    pub(super) is_unproven: bool,
}

// === impl TrustedLog ===

impl TrustedLog {
    /// Reads the checkpoints, and follows the rotations in the log and its archive.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if the log or the archive cannot be read.
    pub async fn load(
        log: &dyn EventReader,
        tree: &dyn TreeStore,
        origin: &str,
        trusted_keys: &[String],
        archive: Option<&ArchiveReader>,
    ) -> Result<Self, Unavailable> {
        // The checkpoints are read first, so that the events of all rotations that lead to them are there.
        let stored = tree.checkpoints().await?;
        let found = rotations::collect(log, archive, origin).await?;
        Self::new(tree, origin, trusted_keys, &stored, &found).await
    }

    /// The same, for a pass over the log. It follows rotations only if the trusted keys did not sign every
    /// checkpoint, because finding these events reads the log.
    pub(super) async fn load_for_pass(
        log: &dyn EventReader,
        tree: &dyn TreeStore,
        against: &TrustAnchor<'_>,
    ) -> Result<Self, Unavailable> {
        let TrustAnchor { origin, verifiers, archive, .. } = *against;
        let stored = tree.checkpoints().await?;
        let is_readable = stored.iter().all(|note| read(note, origin, verifiers).is_ok());
        let found = if is_readable { Vec::new() } else { rotations::collect(log, archive, origin).await? };
        Self::new(tree, origin, verifiers, &stored, &found).await
    }

    async fn new(
        tree: &dyn TreeStore,
        origin: &str,
        trusted_keys: &[String],
        stored: &[SignedCheckpoint],
        found: &[KeyRotation],
    ) -> Result<Self, Unavailable> {
        let mut verifiers = trusted_keys.to_vec();
        let mut unproven_verifiers = Vec::new();
        if !found.is_empty() {
            verifiers = follow(tree, origin, stored, verifiers, found).await?;
            if let Ok(newest) = newest(stored, origin, &verifiers) {
                unproven_verifiers = unproven(tree, &newest.checkpoint, &verifiers, found).await?;
            }
        }
        let newest = newest(stored, origin, &verifiers);
        let notes = stored.iter().map(|note| {
            let mut content = read(note, origin, &verifiers);
            let proven = content.is_ok();
            if !proven && let Ok(unproven) = read(note, origin, &unproven_verifiers) {
                content = Ok(unproven);
            }
            CheckedNote { stored_size: note.size, is_unproven: !proven && content.is_ok(), content }
        });
        let notes = notes.collect();
        let handovers = stored.iter().filter_map(|note| handover(note, origin, &verifiers)).collect();
        Ok(Self { verifiers, unproven_verifiers, newest, handovers, notes })
    }

    /// The keys with whose signature a file from outside the store may be compared with the log: its content
    /// is compared anyway.
    #[must_use]
    pub fn comparable_verifiers(&self) -> Vec<String> {
        self.verifiers.iter().chain(&self.unproven_verifiers).cloned().collect()
    }
}

fn read(note: &SignedCheckpoint, origin: &str, keys: &[String]) -> Result<Checkpoint, CheckpointError> {
    checkpoint::read(note.note.as_bytes(), origin, keys)
}

/// The largest checkpoint that one of the keys signed, whatever the store says about its size.
fn newest(
    stored: &[SignedCheckpoint],
    origin: &str,
    verifiers: &[String],
) -> Result<NewestCheckpoint, String> {
    let mut reason = "the log has no checkpoint".to_owned();
    let mut newest: Option<NewestCheckpoint> = None;
    for note in stored {
        match read(note, origin, verifiers) {
            Ok(checkpoint) if newest.as_ref().is_none_or(|it| it.checkpoint.size() <= checkpoint.size()) => {
                newest = Some(NewestCheckpoint { checkpoint, note: note.note.clone() });
            }
            Ok(_) => {}
            Err(error) => reason = error.to_string(),
        }
    }
    newest.ok_or(reason)
}

/// The note, if two of the keys signed it.
fn handover(note: &SignedCheckpoint, origin: &str, verifiers: &[String]) -> Option<Handover> {
    let by = |key: &&String| read(note, origin, std::slice::from_ref(*key)).ok();
    let mut signed = verifiers.iter().filter_map(|key| by(&key));
    let size = signed.next()?.size();
    signed.next().filter(|_| note.handover).map(|_| Handover { size, note: note.note.clone() })
}

/// The trusted keys, and every key to which proved rotations from one of them lead. To go forward, the former
/// key must have signed a checkpoint over the event; to go back, the new key.
async fn follow(
    tree: &dyn TreeStore,
    origin: &str,
    stored: &[SignedCheckpoint],
    mut verifiers: Vec<String>,
    found: &[KeyRotation],
) -> Result<Vec<String>, Unavailable> {
    loop {
        let before = verifiers.len();
        for rotation in found.iter().filter(|rotation| rotation.is_proved) {
            for (key, other) in [(&rotation.from, &rotation.to), (&rotation.to, &rotation.from)] {
                if verifiers.contains(key)
                    && !verifiers.contains(other)
                    && is_covered(tree, origin, stored, rotation, key).await?
                {
                    verifiers.push(other.clone());
                }
            }
        }
        if verifiers.len() == before {
            return Ok(verifiers);
        }
    }
}

/// Whether a checkpoint that this key signed covers the event.
async fn is_covered(
    tree: &dyn TreeStore,
    origin: &str,
    stored: &[SignedCheckpoint],
    rotation: &KeyRotation,
    key: &String,
) -> Result<bool, Unavailable> {
    let by_key = stored.iter().filter_map(|note| read(note, origin, std::slice::from_ref(key)).ok());
    for note in by_key.filter(|note| note.size() >= rotation.seq) {
        if rotation.is_included(tree, &note).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The keys that rotations without a proof name, if a trusted checkpoint shows that the event is from the time
/// before there were proofs.
async fn unproven(
    tree: &dyn TreeStore,
    newest: &Checkpoint,
    verifiers: &[String],
    found: &[KeyRotation],
) -> Result<Vec<String>, Unavailable> {
    let before = checkpoint::format_after(newest).unwrap_or(newest.size());
    let mut keys: Vec<String> = Vec::new();
    for rotation in found.iter().filter(|rotation| !rotation.is_proved && rotation.seq <= before) {
        if rotation.is_included(tree, newest).await? {
            keys.extend(
                [&rotation.from, &rotation.to].into_iter().filter(|key| !verifiers.contains(key)).cloned(),
            );
        }
    }
    keys.retain(|key| checkpoint::is_verifier(key));
    Ok(keys)
}
