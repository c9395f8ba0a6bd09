//! Writes the log as files in the tlog-tiles layout, for other people's tools: `checkpoint`,
//! `tile/…`, `tile/entries/…`, and `verifier.key`.

use std::{fs, io, path::Path};

use thiserror::Error;
use tlog_tiles::Checkpoint;

use super::tree::{self, Edge, WHOLE};
use crate::ports::{EventReader, Tile, Unavailable};

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
    #[error("event {0} is missing from the log: run `logkey audit verify`")]
    Missing(u64),
    /// An event is longer than the form allows.
    #[error("event {0} is longer than 65535 bytes, which an entry bundle cannot hold")]
    TooLong(u64),
    /// The events are not those of the checkpoint.
    #[error("the log's events do not give the root of its checkpoint: run `logkey audit verify`")]
    Root,
}

/// Writes the events that a checkpoint covers, and then the checkpoint itself.
///
/// # Errors
///
/// [`ExportError`]; then there is no new `checkpoint` in the folder.
pub async fn export(
    log: &dyn EventReader,
    checkpoint: &Checkpoint,
    note: &str,
    verifier: &str,
    folder: &Path,
) -> Result<(), ExportError> {
    let mut edge = Edge::default();
    let mut bundle = Vec::new();
    let mut whole: Vec<Tile> = Vec::new();
    while edge.size() < checkpoint.size() {
        let page = log.after(edge.size(), PAGE).await?;
        if page.is_empty() {
            return Err(ExportError::Missing(edge.size() + 1));
        }
        for event in page {
            let seq = edge.size() + 1;
            if event.seq != seq {
                return Err(ExportError::Missing(seq));
            }
            if seq > checkpoint.size() {
                break;
            }
            let length = u16::try_from(event.body.len()).map_err(|_long| ExportError::TooLong(seq))?;
            bundle.extend(length.to_be_bytes());
            bundle.extend(event.body.as_bytes());
            edge.push(tlog_tiles::record_hash(event.body.as_bytes()), &mut whole);
            if seq % WHOLE as u64 == 0 {
                write(folder, &tree::path("entries", seq / WHOLE as u64 - 1, WHOLE), &bundle)?;
                bundle.clear();
            }
        }
        for tile in whole.drain(..) {
            write_tile(folder, &tile)?;
        }
    }
    if !bundle.is_empty() {
        let count = usize::try_from(edge.size() & 0xff).unwrap_or_default();
        write(folder, &tree::path("entries", edge.size() / WHOLE as u64, count), &bundle)?;
    }
    for tile in edge.partial() {
        write_tile(folder, &tile)?;
    }
    if edge.root() != Some(*checkpoint.hash()) {
        return Err(ExportError::Root);
    }
    fs::write(folder.join("verifier.key"), format!("{verifier}\n"))?;
    fs::write(folder.join("checkpoint"), note)?;
    Ok(())
}

fn write_tile(folder: &Path, tile: &Tile) -> Result<(), ExportError> {
    let path = tree::path(&tile.level.to_string(), tile.index, tile.hashes.len() / tree::HASH);
    write(folder, &path, &tile.hashes)
}

fn write(folder: &Path, path: &str, bytes: &[u8]) -> Result<(), ExportError> {
    let path = folder.join("tile").join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(fs::write(path, bytes)?)
}
