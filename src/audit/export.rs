//! Writes the log as files in the tlog-tiles layout, for other tools: `checkpoint`, `tile/…`,
//! `tile/entries/…`, `verifier.key` and, if the signing key was rotated, `handover/…`.

use std::path::Path;

use thiserror::Error;
use tlog_tiles::Checkpoint;

use super::{
    archive::archive_reader::ArchiveReader,
    c2sp_layout::{LogFolder, write_tile},
    tree::{self, Edge, TILE_WIDTH},
};
use crate::ports::{
    EventReader, Tile, Unavailable,
    log_files::{FilesError, LogFiles},
};

/// How many events one read returns.
const PAGE: u32 = 1024;

/// Why an export is incomplete.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The store is not available.
    #[error("the audit log cannot be read")]
    Unavailable(#[from] Unavailable),
    /// A file cannot be written.
    #[error("the export cannot be written")]
    File(#[from] FilesError),
    /// An event is missing.
    #[error(
        "event {0} is missing from the log: if it was archived, name the archive with --archive; otherwise run `logkey audit verify`"
    )]
    Missing(u64),
    /// An event does not fit the two-byte length of an entry.
    #[error("event {0} is longer than 65535 bytes, the limit of an entry in tlog-tiles")]
    TooLong(u64),
    /// The events do not have the root of the checkpoint.
    #[error("the log's events do not match its signed checkpoint: run `logkey audit verify`")]
    Root,
}

/// The signed parts of an export.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'e> {
    /// The newest checkpoint.
    pub checkpoint: &'e Checkpoint,
    /// The same checkpoint as a signed note.
    pub note: &'e str,
    /// The keys that may sign the log. The key of the newest checkpoint is the first.
    pub verifiers: &'e [String],
    /// The checkpoints at which one key handed over to the next, as signed notes.
    pub handovers: &'e [Handover],
}

/// A checkpoint that two trusted keys signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The size in the note.
    pub size: u64,
    /// The note.
    pub note: String,
}

/// Writes the events that a checkpoint covers, and then the checkpoint itself.
///
/// # Errors
///
/// [`ExportError`]; the folder then has no new `checkpoint`.
pub async fn export(
    log: &dyn EventReader,
    archive: Option<&ArchiveReader>,
    signed: &Signed<'_>,
    folder: &Path,
) -> Result<(), ExportError> {
    let Signed { checkpoint, note, verifiers, handovers } = *signed;
    let files = LogFolder::not_durable(folder);
    files.prepare().await?;
    let mut edge = Edge::default();
    events(log, archive, &mut edge, checkpoint.size(), &files).await?;
    if edge.root() != Some(*checkpoint.hash()) {
        return Err(ExportError::Root);
    }
    for handover in handovers {
        files.replace(&format!("handover/{}", handover.size), handover.note.clone().into_bytes()).await?;
    }
    keys(&files, verifiers).await?;
    Ok(files.replace("checkpoint", note.as_bytes().to_vec()).await?)
}

/// Writes `verifier.key` for the first key, and `verifier-ID.key` for each other key.
pub(super) async fn keys(files: &dyn LogFiles, verifiers: &[String]) -> Result<(), FilesError> {
    for (at, verifier) in verifiers.iter().enumerate() {
        let id = verifier.split('+').nth(1).filter(|_| at > 0);
        let name = id.map_or_else(|| "verifier.key".to_owned(), |id| format!("verifier-{id}.key"));
        files.replace(&name, format!("{verifier}\n").into_bytes()).await?;
    }
    Ok(())
}

/// Writes the events after the edge up to and including `through`, and the tiles over them.
pub(super) async fn events(
    log: &dyn EventReader,
    archive: Option<&ArchiveReader>,
    edge: &mut Edge,
    through: u64,
    files: &dyn LogFiles,
) -> Result<(), ExportError> {
    let mut bundle = Vec::new();
    let mut full_tiles: Vec<Tile> = Vec::new();
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
            edge.push(tree::leaf(event.body.as_bytes()), &mut full_tiles);
            if seq.is_multiple_of(TILE_WIDTH as u64) {
                let path = tree::path("entries", seq / TILE_WIDTH as u64 - 1, TILE_WIDTH);
                files.write(&format!("tile/{path}"), std::mem::take(&mut bundle)).await?;
            }
        }
        for tile in full_tiles.drain(..) {
            write_tile(files, tile).await?;
        }
    }
    if !bundle.is_empty() {
        let count = usize::try_from(edge.size() & 0xff).unwrap_or_default();
        let path = tree::path("entries", edge.size() / TILE_WIDTH as u64, count);
        files.write(&format!("tile/{path}"), bundle).await?;
    }
    for tile in edge.partial() {
        write_tile(files, tile).await?;
    }
    Ok(())
}
