//! Writes the log as files in the tlog-tiles layout, for other people's tools: `checkpoint`,
//! `tile/…`, `tile/entries/…`, `verifier.key` and, where the key has changed, `handover/…`.

use std::{fs, io, path::Path};

use thiserror::Error;
use tlog_tiles::Checkpoint;

use super::{
    archive::ArchiveReader,
    c2sp_layout::TileDirectory,
    tree::{self, Edge, WHOLE},
};
use crate::ports::{EventReader, SignedCheckpoint, Tile, Unavailable};

/// How many events are read at once.
const PAGE: u32 = 1024;

/// Why an export is not whole.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The store does not answer.
    #[error("the audit log cannot be read")]
    Unavailable(#[from] Unavailable),
    /// A file cannot be written.
    #[error("the export cannot be written")]
    File(#[from] io::Error),
    /// An event is missing.
    #[error(
        "event {0} is missing from the log: where it was moved out, name the archive with --archive; otherwise run `logkey audit verify`"
    )]
    Missing(u64),
    /// An event is longer than the form allows.
    #[error("event {0} is longer than 65535 bytes, which an entry bundle cannot hold")]
    TooLong(u64),
    /// The events are not those of the checkpoint.
    #[error("the log's events do not give the root of its checkpoint: run `logkey audit verify`")]
    Root,
}

/// What is exported, beside the events.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'e> {
    /// The newest checkpoint.
    pub checkpoint: &'e Checkpoint,
    /// As it was signed.
    pub note: &'e str,
    /// The keys that may sign the log; that of the newest checkpoint first.
    pub verifiers: &'e [String],
    /// Checkpoints that hand over from one key to the next.
    pub handovers: &'e [SignedCheckpoint],
}

/// Writes the events that a checkpoint covers, and then the checkpoint itself.
///
/// # Errors
///
/// [`ExportError`]; then there is no new `checkpoint` in the folder.
pub async fn export(
    log: &dyn EventReader,
    archive: Option<&ArchiveReader>,
    signed: &Signed<'_>,
    folder: &Path,
) -> Result<(), ExportError> {
    let Signed { checkpoint, note, verifiers, handovers } = *signed;
    let mut layout = TileDirectory::new(folder, false);
    let mut edge = Edge::default();
    events(log, archive, &mut edge, checkpoint.size(), &mut layout).await?;
    if edge.root() != Some(*checkpoint.hash()) {
        return Err(ExportError::Root);
    }
    for handover in handovers {
        fs::create_dir_all(folder.join("handover"))?;
        layout.replace(&format!("handover/{}", handover.size), handover.note.as_bytes())?;
    }
    keys(&mut layout, verifiers)?;
    Ok(layout.replace("checkpoint", note.as_bytes())?)
}

/// Writes `verifier.key`, and beside it those of keys that signed before, or sign too.
pub(super) fn keys(layout: &mut TileDirectory<'_>, verifiers: &[String]) -> io::Result<()> {
    for (at, verifier) in verifiers.iter().enumerate() {
        let id = verifier.split('+').nth(1).filter(|_| at > 0);
        let name = id.map_or_else(|| "verifier.key".to_owned(), |id| format!("verifier-{id}.key"));
        layout.replace(&name, format!("{verifier}\n").as_bytes())?;
    }
    Ok(())
}

/// Writes the events from the edge on, up to and with `through`, and the tiles over them.
pub(super) async fn events(
    log: &dyn EventReader,
    archive: Option<&ArchiveReader>,
    edge: &mut Edge,
    through: u64,
    layout: &mut TileDirectory<'_>,
) -> Result<(), ExportError> {
    let mut bundle = Vec::new();
    let mut whole: Vec<Tile> = Vec::new();
    while edge.size() < through {
        let page = match archive {
            Some(archive) if edge.size() < archive.size() => archive.after(edge.size(), PAGE).await?,
            Some(_) | None => log.after(edge.size(), PAGE).await?,
        };
        if page.is_empty() {
            return Err(ExportError::Missing(edge.size() + 1));
        }
        for event in page {
            let seq = edge.size() + 1;
            if event.seq != seq {
                return Err(ExportError::Missing(seq));
            }
            if seq > through {
                break;
            }
            let length = u16::try_from(event.body.len()).map_err(|_long| ExportError::TooLong(seq))?;
            bundle.extend(length.to_be_bytes());
            bundle.extend(event.body.as_bytes());
            edge.push(tree::leaf(event.body.as_bytes()), &mut whole);
            if seq.is_multiple_of(WHOLE as u64) {
                layout.write(&tree::path("entries", seq / WHOLE as u64 - 1, WHOLE), &bundle)?;
                bundle.clear();
            }
        }
        for tile in whole.drain(..) {
            layout.tile(&tile)?;
        }
    }
    if !bundle.is_empty() {
        let count = usize::try_from(edge.size() & 0xff).unwrap_or_default();
        layout.write(&tree::path("entries", edge.size() / WHOLE as u64, count), &bundle)?;
    }
    for tile in edge.partial() {
        layout.tile(&tile)?;
    }
    Ok(layout.fsync()?)
}
