//! Reads archived events for callers. Each tile is compared with the log's tree in the store, so a changed file, or the
//! archive of another log, is never shown as this log.

use std::sync::Arc;

use async_trait::async_trait;

use super::archive_reader::{corrupt, entries, unavailable};
use crate::{
    audit::tree::{self, TILE_WIDTH},
    ports::{
        EventArchive, StoredEvent, TreeStore, Unavailable, event_archive::TILE_EVENTS, log_files::LogFiles,
    },
};

/// The archive of a log.
pub struct VerifiedArchive {
    files: Arc<dyn LogFiles>,
    tree: Arc<dyn TreeStore>,
}

// === impl VerifiedArchive ===

impl VerifiedArchive {
    /// The archive in these files, whose events this tree covers.
    #[must_use]
    pub fn new(files: Arc<dyn LogFiles>, tree: Arc<dyn TreeStore>) -> Self {
        Self { files, tree }
    }
}

#[async_trait]
impl EventArchive for VerifiedArchive {
    async fn tile(&self, index: u64) -> Result<Option<Vec<StoredEvent>>, Unavailable> {
        let path = tree::path("entries", index, TILE_WIDTH);
        let Some(bytes) = self.files.read(&format!("tile/{path}")).await? else { return Ok(None) };
        let signed = self.tree.tiles(&[(0, index)]).await?.pop().map(|tile| tile.hashes);
        let bodies = entries(&bytes).ok_or_else(corrupt)?;
        let leaves: Vec<u8> = bodies.iter().flat_map(|body| tree::leaf(body.as_bytes()).0).collect();
        let first = index * TILE_EVENTS + 1;
        if signed.is_none_or(|signed| signed != leaves) {
            let last = index * TILE_EVENTS + TILE_EVENTS;
            return Err(unavailable(format!(
                "the archived events {first} to {last} do not match the log's tree: run `logkey audit verify`"
            )));
        }
        Ok(Some((first..).zip(bodies).map(|(seq, body)| StoredEvent::parse(seq, body)).collect()))
    }
}

impl std::fmt::Debug for VerifiedArchive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedArchive").field("files", &self.files).finish_non_exhaustive()
    }
}
