//! Reads an archive: its events, and its part of the tree. Verification, export and proofs use it.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use signed_note::Note;
use thiserror::Error;
use tlog_tiles::Checkpoint;
use uuid::Uuid;

use crate::{
    audit::{
        c2sp_layout::LogFolder,
        checkpoint::{self, CheckpointError},
        parsed_event::ParsedEvent,
        tree::{self, TILE_WIDTH},
    },
    domain::{audit::EventId, time::Timestamp},
    ports::{
        EventFilter, SignedCheckpoint, StoredEvent, Tile, TreeStore, Unavailable,
        event_archive::MAX_DISORDER,
        log_files::{FilesError, LogFiles},
    },
};

/// The file whose size line says how many events the archive holds.
const CHECKPOINT: &str = "checkpoint";
/// The time in an id is that of its event, in milliseconds.
const ID_PRECISION: Duration = Duration::from_millis(1);

/// The files that hold the first events of a log, in the tlog-tiles layout.
#[derive(Clone, Debug)]
pub struct ArchiveReader {
    files: Arc<dyn LogFiles>,
    note: String,
    /// The size in the checkpoint, whose signature is not checked.
    unverified_size: u64,
}

/// Why files cannot be used as an archive.
#[derive(Debug, Error)]
pub enum ArchiveReadError {
    /// There is no `checkpoint` file.
    #[error("{0} has no `checkpoint` file: name the folder or bucket to which the events were archived")]
    Missing(String),
    /// The `checkpoint` file cannot be read.
    #[error("the archive cannot be read")]
    Files(#[from] FilesError),
    /// The checkpoint is malformed, or no trusted key of this log signed it.
    #[error("the archive's checkpoint cannot be trusted")]
    Checkpoint(#[source] CheckpointError),
}

// === impl ArchiveReader ===

impl ArchiveReader {
    /// Opens the archive in a folder without verifying anything.
    ///
    /// # Errors
    ///
    /// [`ArchiveReadError`].
    pub async fn in_folder(folder: &Path) -> Result<Self, ArchiveReadError> {
        Self::open(Arc::new(LogFolder::durable(folder))).await
    }

    /// Opens an archive without verifying anything.
    ///
    /// # Errors
    ///
    /// [`ArchiveReadError`].
    pub async fn open(files: Arc<dyn LogFiles>) -> Result<Self, ArchiveReadError> {
        let missing = ArchiveReadError::Missing(files.to_string());
        Self::open_existing(files).await?.ok_or(missing)
    }

    /// As [`Self::open`]. `None` if nothing was archived yet.
    ///
    /// # Errors
    ///
    /// [`ArchiveReadError`].
    pub async fn open_existing(files: Arc<dyn LogFiles>) -> Result<Option<Self>, ArchiveReadError> {
        let Some(note) = files.read(CHECKPOINT).await? else { return Ok(None) };
        let malformed = || ArchiveReadError::Checkpoint(CheckpointError::Text);
        let note = String::from_utf8(note).map_err(|_not_text| malformed())?;
        let opened = Note::from_bytes(note.as_bytes()).map_err(|_bad| malformed())?;
        let checkpoint = Checkpoint::from_bytes(opened.text()).map_err(|_bad| malformed())?;
        let unverified_size = checkpoint.size();
        Ok(Some(Self { files, note, unverified_size }))
    }

    /// The archive's checkpoint, if one of the keys signed it.
    ///
    /// # Errors
    ///
    /// [`ArchiveReadError::Checkpoint`].
    pub fn signed(&self, origin: &str, verifiers: &[String]) -> Result<Checkpoint, ArchiveReadError> {
        checkpoint::read(self.note.as_bytes(), origin, verifiers).map_err(ArchiveReadError::Checkpoint)
    }

    /// The archive's checkpoint as a signed note.
    #[must_use]
    pub fn signed_note(&self) -> &str {
        &self.note
    }

    /// How many events the checkpoint claims. [`Self::signed`] verifies the claim.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.unverified_size
    }

    /// About `limit` events after a position, oldest first. The result is empty if there are no more events
    /// or their file is missing. The returned id is nil and the tenant is none; the caller parses the bytes
    /// if it needs them.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if a file cannot be read or does not have the layout.
    pub async fn after(&self, seq: u64, limit: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        let mut found = Vec::new();
        let mut next = seq;
        while next < self.unverified_size && found.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
            let bundle = next / TILE_WIDTH as u64;
            let count = (self.unverified_size - bundle * TILE_WIDTH as u64).min(TILE_WIDTH as u64);
            let path = tree::path("entries", bundle, usize::try_from(count).unwrap_or(TILE_WIDTH));
            let Some(bytes) = self.read(&path).await? else { break };
            let bodies = entries(&bytes).filter(|all| all.len() as u64 == count).ok_or_else(corrupt)?;
            let numbered = (bundle * TILE_WIDTH as u64 + 1..).zip(bodies);
            let next_files = numbered.filter(|(at, _)| *at > next);
            found.extend(next_files.map(|(seq, body)| event(seq, body)));
            next = bundle * TILE_WIDTH as u64 + count;
        }
        Ok(found)
    }

    /// The event with this id. It is searched around the time in the id, and otherwise in the whole archive.
    ///
    /// # Errors
    ///
    /// As [`Self::after`].
    pub async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        if let Some(at) = id.time() {
            let (since, until) = (Some(at.minus(ID_PRECISION)), Some(at.plus(ID_PRECISION)));
            let filter = EventFilter { since, until, ..EventFilter::default() };
            let near = self.list(&filter, u64::MAX, u32::MAX).await?;
            if let Some(event) = near.into_iter().find(|event| event.id == id) {
                return Ok(Some(event));
            }
        }
        let text = id.to_string();
        let found = self.search(&text, |view| view.id == text).await?;
        Ok(found.into_iter().next().map(|event| StoredEvent::parse(event.seq, event.body)))
    }

    /// At most `limit` events that match and come before a position, newest first. Reads only the part of the archive
    /// that can have events of the filter's time.
    ///
    /// # Errors
    ///
    /// As [`Self::after`].
    pub async fn list(
        &self,
        filter: &EventFilter,
        before: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        let (limit, mut found) = (usize::try_from(limit).unwrap_or(usize::MAX), Vec::new());
        let count = before.min(self.unverified_size + 1).saturating_sub(1).div_ceil(TILE_WIDTH as u64);
        let count = match filter.until {
            Some(until) => self.tiles_until(count, until.plus(MAX_DISORDER)).await?,
            None => count,
        };
        for index in (0..count).rev() {
            let tile = self.tile(index).await?;
            let begins = time_of_first(&tile);
            let matching = tile.into_iter().filter(|event| event.seq < before && filter.matches(&event.body));
            found.extend(matching.rev());
            let is_past = |since| begins.is_some_and(|begins| begins.plus(MAX_DISORDER) < since);
            if found.len() >= limit || filter.since.is_some_and(is_past) {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// How many of the first `count` tiles begin before this time.
    async fn tiles_until(&self, count: u64, end: Timestamp) -> Result<u64, Unavailable> {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            if time_of_first(&self.tile(middle).await?).is_some_and(|begins| begins >= end) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }

    async fn tile(&self, index: u64) -> Result<Vec<StoredEvent>, Unavailable> {
        let start = index * TILE_WIDTH as u64;
        let tile = self.after(start, 1).await?;
        if tile.is_empty() {
            return Err(unavailable(format!("the archive has no file with event {}", start + 1)));
        }
        Ok(tile.into_iter().map(|event| StoredEvent::parse(event.seq, event.body)).collect())
    }

    /// The event at this position.
    ///
    /// # Errors
    ///
    /// As [`Self::after`].
    pub async fn at(&self, position: u64) -> Result<Option<StoredEvent>, Unavailable> {
        let found = self.after(position.saturating_sub(1), 1).await?.into_iter().next();
        Ok(found.map(|event| StoredEvent::parse(event.seq, event.body)))
    }

    /// The events with this action. Reads every event of the archive.
    pub(in crate::audit) async fn with_action(&self, action: &str) -> Result<Vec<StoredEvent>, Unavailable> {
        self.search(action, |view| view.action == action).await
    }

    async fn search(
        &self,
        text: &str,
        matches: impl Fn(&ParsedEvent) -> bool,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        let (mut found, mut next) = (Vec::new(), 0);
        loop {
            let page = self.after(next, 256).await?;
            let Some(last) = page.last() else { return Ok(found) };
            next = last.seq;
            let named = page.into_iter().filter(|event| event.body.contains(text));
            found.extend(named.filter(|event| ParsedEvent::try_from(event).is_ok_and(|view| matches(&view))));
        }
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        Ok(self.files.read(&format!("tile/{path}")).await?)
    }
}

#[async_trait]
impl TreeStore for ArchiveReader {
    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable> {
        let (size, note) = (self.unverified_size, self.note.clone());
        Ok(Some(SignedCheckpoint { size, time: Timestamp::from_micros(0), note, handover: false }))
    }

    async fn checkpoints(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        Ok(self.checkpoint().await?.into_iter().collect())
    }

    async fn tiles(&self, tile_ids: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable> {
        let mut tiles = Vec::with_capacity(tile_ids.len());
        for (level, index) in tile_ids {
            let (level, index) = (*level, *index);
            let hashes = self.unverified_size >> (8 * u32::from(level));
            let count = hashes.saturating_sub(index * TILE_WIDTH as u64).min(TILE_WIDTH as u64);
            let count = usize::try_from(count).unwrap_or(TILE_WIDTH);
            if let Some(hashes) = self.read(&tree::path(&level.to_string(), index, count)).await? {
                tiles.push(Tile { level, index, hashes });
            }
        }
        Ok(tiles)
    }

    async fn grow(&self, _: &[Tile], _: &SignedCheckpoint) -> Result<(), Unavailable> {
        Err(unavailable("an archive is read-only"))
    }
}

fn time_of_first(events: &[StoredEvent]) -> Option<Timestamp> {
    Some(ParsedEvent::try_from(events.first()?).ok()?.time)
}

/// The entries of a bundle. Each entry is its length in two bytes, followed by its bytes.
pub(super) fn entries(bytes: &[u8]) -> Option<Vec<String>> {
    let mut found = Vec::with_capacity(TILE_WIDTH);
    let mut rest = bytes;
    while let [high, low, after @ ..] = rest {
        let (body, next) = after.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        found.push(StoredEvent::text_of(body));
        rest = next;
    }
    rest.is_empty().then_some(found)
}

fn event(seq: u64, body: String) -> StoredEvent {
    StoredEvent { seq, id: EventId(Uuid::nil()), tenant: None, body }
}

pub(super) fn corrupt() -> Unavailable {
    unavailable("a file of the archive does not have the tlog-tiles layout")
}

pub(super) fn unavailable(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Unavailable {
    Unavailable { dependency: "archive", source: Some(reason.into()) }
}
