//! One run: write the oldest events to the archive, read them again, record that, and remove them.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tlog_tiles::Hash;

use super::{archive_reader::ArchiveReader, error::ArchiveError};
use crate::{
    audit::{
        checkpoint::{self, SigningKey},
        export,
        parsed_event::ParsedEvent,
        proof::{Statement, StatementTree},
        prove, rotation,
        tree::{self, Edge},
        verify::TrustedLog,
    },
    domain::{
        audit::{AuditOperation, LogEvent},
        time::Timestamp,
    },
    ports::{
        ArchivedEvents, AuditLog, AuditTree, Clock, EventFilter, EventReader, SignedTree, TreeStore,
        log_files::LogFiles,
    },
};

/// How long a run waits for the checkpoint that covers the `Archive` event.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(30);
/// How many events one batch moves at most: as many as a tile of the level above has leaves.
const BATCH: u64 = 1 << 16;
/// How many archived events one read returns.
const PAGE: u32 = 1024;
/// `api.operation` of the event that names the archived events.
const ACTION: &str = "Archive";

/// The parts of the service that [`archive`] uses.
#[derive(Clone, Copy)]
pub struct ArchiveInputs<'p> {
    /// Reads the events.
    pub log: &'p dyn EventReader,
    /// Reads the tree over the events.
    pub tree: &'p dyn TreeStore,
    /// Removes archived events from the store.
    pub events: &'p dyn ArchivedEvents,
    /// Records the `Archive` event.
    pub audit: &'p dyn AuditLog,
    /// Returns the newest checkpoint and waits for the next one.
    pub signed: &'p dyn AuditTree,
    /// The time of the `Archive` event.
    pub clock: &'p dyn Clock,
    /// Signs the archive's checkpoint.
    pub key: &'p SigningKey,
}

/// The result of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveReport {
    /// How many events the archive holds, counted from the first event of the log.
    pub last: u64,
    /// How many of them this run moved.
    pub count: u64,
}

/// Archives the events before a time, in whole tiles of 256. It stops before the first intent that has no
/// end yet, and before the first event that a sink has not received.
///
/// # Errors
///
/// [`ArchiveError`].
pub async fn archive(
    parts: ArchiveInputs<'_>,
    before: Timestamp,
    files: &Arc<dyn LogFiles>,
) -> Result<ArchiveReport, ArchiveError> {
    let mut count = 0;
    loop {
        let batch = archive_batch(parts, before, files).await?;
        count += batch.count;
        if batch.count == 0 {
            return Ok(ArchiveReport { count, ..batch });
        }
    }
}

/// As [`archive`], but moves a limited number of events. If it moves none, there are no more.
///
/// # Errors
///
/// [`ArchiveError`].
pub async fn archive_batch(
    parts: ArchiveInputs<'_>,
    before: Timestamp,
    files: &Arc<dyn LogFiles>,
) -> Result<ArchiveReport, ArchiveError> {
    let _lock = parts.events.lock_archive().await?.ok_or(ArchiveError::Busy)?;
    files.prepare().await?;
    let newest = parts.signed.newest().await?;
    let first = parts.log.after(0, 1).await?.first().map_or(1, |event| event.seq);
    let archived = archived_count(parts, files, &newest).await?;
    if first > archived + 1 {
        return Err(ArchiveError::Elsewhere { archived, first });
    }
    let last = cutoff(parts, before, archived).await?;
    if last > newest.size {
        return Err(ArchiveError::NotCovered { last, size: newest.size });
    }
    let last = (last & !0xff).min((archived / BATCH + 1) * BATCH).max(archived);
    if last == 0 {
        return Ok(ArchiveReport::default());
    }
    if last > archived {
        write(parts, archived, last, &newest, &**files).await?;
    }
    let root = root(parts, &ArchiveReader::open(Arc::clone(files)).await?, first - 1, last).await?;
    record_move(parts, last, root).await?;
    parts.events.remove_through(last).await?;
    Ok(ArchiveReport { last, count: (last + 1).saturating_sub(first) })
}

/// How many events the archive already holds.
async fn archived_count(
    parts: ArchiveInputs<'_>,
    files: &Arc<dyn LogFiles>,
    newest: &SignedTree,
) -> Result<u64, ArchiveError> {
    let Some(archive) = ArchiveReader::open_existing(Arc::clone(files)).await? else { return Ok(0) };
    let origin = parts.key.origin();
    let trusted = TrustedLog::load(parts.log, parts.tree, origin, &parts.key.verifiers(), None).await?;
    let signed = archive.signed(origin, &trusted.comparable_verifiers())?;
    check_contiguous(parts, signed.size(), *signed.hash(), newest).await?;
    Ok(signed.size())
}

/// The last event that may be archived: it and all events before it are older than `before`.
async fn cutoff(parts: ArchiveInputs<'_>, before: Timestamp, archived: u64) -> Result<u64, ArchiveError> {
    let young = EventFilter { since: Some(before), after: Some(archived), ..EventFilter::default() };
    let young = parts.log.next(&young, u64::MAX, 1).await?.first().map(|event| event.seq);
    let open = parts.log.open_intents(before).await?.first().map(|event| event.seq);
    let end = parts.log.list(&EventFilter::default(), None, 1).await?.first().map_or(0, |event| event.seq);
    // Events that a sink has not received stay.
    let unread = parts.events.read_through().await?.map(|last| last + 1);
    let first_kept = [young, open, unread, Some(end + 1)].into_iter().flatten().min().unwrap_or_default();
    Ok(first_kept.saturating_sub(1))
}

async fn write(
    parts: ArchiveInputs<'_>,
    archived: u64,
    last: u64,
    newest: &SignedTree,
    files: &dyn LogFiles,
) -> Result<(), ArchiveError> {
    let mut edge = Edge::load(parts.tree, archived).await?.ok_or(ArchiveError::Root)?;
    export::events(parts.log, None, &mut edge, last, files).await?;
    let root = edge.root().ok_or(ArchiveError::Root)?;
    check_contiguous(parts, last, root, newest).await?;
    let format_after =
        checkpoint::read(newest.note.as_bytes(), parts.key.origin(), &parts.signed.verifiers());
    let format_after = format_after.ok().as_ref().and_then(checkpoint::format_after);
    let note = parts.key.sign(last, root, format_after).ok_or(ArchiveError::Sign)?;
    export::keys(files, &parts.key.verifiers()).await?;
    Ok(files.replace("checkpoint", note.into_bytes()).await?)
}

/// Fails unless the newest signed tree continues the tree with this size and root.
async fn check_contiguous(
    parts: ArchiveInputs<'_>,
    size: u64,
    root: Hash,
    newest: &SignedTree,
) -> Result<(), ArchiveError> {
    let proof = prove::consistency(parts.tree, size, newest.size).await?;
    tlog_tiles::check_tree(&proof, newest.size, Hash(newest.root), size, root)
        .map_err(|_differs| ArchiveError::Root)
}

/// The root over the archived events. Reads the archive again from the tile that contains `from`.
async fn root(
    parts: ArchiveInputs<'_>,
    archive: &ArchiveReader,
    from: u64,
    last: u64,
) -> Result<Hash, ArchiveError> {
    let mut edge = Edge::load(parts.tree, from & !0xff).await?.ok_or(ArchiveError::Root)?;
    let mut full_tiles = Vec::new();
    while edge.size() < last {
        let page = archive.after(edge.size(), PAGE).await?;
        if page.is_empty() {
            return Err(ArchiveError::Root);
        }
        for event in page {
            edge.push(tree::leaf(event.body.as_bytes()), &mut full_tiles);
        }
        full_tiles.clear();
    }
    let root = edge.root().filter(|_| edge.size() == last).ok_or(ArchiveError::Root)?;
    let signed = parts.signed.newest().await?;
    check_contiguous(parts, last, root, &signed).await?;
    Ok(root)
}

/// Records an `Archive` event unless the newest one already names this root. Returns when a checkpoint covers
/// the event.
async fn record_move(parts: ArchiveInputs<'_>, last: u64, root: Hash) -> Result<(), ArchiveError> {
    let root: Box<str> = BASE64_STANDARD.encode(root.0).into();
    let newest = parts.signed.newest().await?;
    let tree = StatementTree { size: newest.size, root: Hash(newest.root) };
    let statement = Statement::Archive { last, root: &root };
    let proof = statement.sign(parts.key, &tree).ok_or(ArchiveError::Sign)?;
    let filter = EventFilter { action: Some(ACTION.to_owned()), ..EventFilter::default() };
    let archive_event = parts.log.list(&filter, None, 1).await?;
    // An event of an earlier release has no proof.
    let same = |view: ParsedEvent| {
        view.archived.is_some_and(|archived| {
            archived.last == last && *archived.root == *root && archived.proof.is_some()
        })
    };
    let archive_event = archive_event
        .iter()
        .find(|event| ParsedEvent::try_from(*event).is_ok_and(same))
        .map(|event| event.seq);
    let archive_event = if let Some(archive_event) = archive_event {
        archive_event
    } else {
        let log = LogEvent::Archived { last, root: root.clone(), proof: proof.into() };
        let id = rotation::append_log_event(parts.audit, parts.clock, AuditOperation::Archive, log).await?;
        parts.log.find(id).await?.ok_or(ArchiveError::NotSigned)?.seq
    };
    let signed =
        tokio::time::timeout(CHECKPOINT_TIMEOUT, parts.signed.wait_for_size(archive_event - 1)).await;
    signed.map(drop).map_err(|_elapsed| ArchiveError::NotSigned)
}

impl std::fmt::Debug for ArchiveInputs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ArchiveInputs")
    }
}
