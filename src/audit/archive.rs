//! Moves the oldest events out to a folder in the tlog-tiles layout, and lets go of them in the store.
//! The tree stays whole. The archive is on disk, read again, and named by a signed event of the log
//! before anything is removed.

mod archive_reader;

use std::{io, path::Path, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use thiserror::Error;
use tlog_tiles::Hash;

pub use self::archive_reader::{ArchiveReadError, ArchiveReader};
use super::{
    c2sp_layout::{self, TileDirectory},
    checkpoint::SigningKey,
    export::{self, ExportError},
    parsed_event::ParsedEvent,
    prove::{self, ProofError},
    rotation,
    tree::{self, Edge},
    verify,
};
use crate::{
    domain::{
        audit::{AuditOperation, LogEvent},
        time::Timestamp,
    },
    ports::{
        ArchivedEvents, AuditLog, AuditTree, AuditUnavailable, Clock, EventFilter, EventReader, SignedTree,
        TreeStore, Unavailable,
    },
};

/// How long it is waited for the checkpoint that covers what was said.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(30);
/// How many events are read again at once.
const PAGE: u32 = 1024;
/// `api.operation` of the event that names what was moved out.
const ACTION: &str = "Archive";

/// What archiving needs.
#[derive(Clone, Copy)]
pub struct ArchiveInputs<'p> {
    /// The events.
    pub log: &'p dyn EventReader,
    /// The tree over them.
    pub tree: &'p dyn TreeStore,
    /// Lets go of them.
    pub events: &'p dyn ArchivedEvents,
    /// Takes the event that says so.
    pub audit: &'p dyn AuditLog,
    /// Knows what is signed.
    pub signed: &'p dyn AuditTree,
    /// Tells the time.
    pub clock: &'p dyn Clock,
    /// Signs the archive's checkpoint.
    pub key: &'p SigningKey,
}

/// Why nothing was moved out, or not all: nothing is lost either way, and doing it again goes on.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The store does not answer.
    #[error("the audit log cannot be read or written")]
    Unavailable(#[from] Unavailable),
    /// What is done cannot be said in the log.
    #[error("the audit log cannot be written")]
    Audit(#[from] AuditUnavailable),
    /// The files cannot be written.
    #[error("the archive cannot be written")]
    Write(#[from] ExportError),
    /// The folder cannot be used.
    #[error("the archive's folder cannot be used")]
    Folder(#[from] io::Error),
    /// What is in the folder is no archive of this log.
    #[error("the folder holds something else than the archive of this log")]
    Other(#[from] ArchiveReadError),
    /// Earlier events were moved out to another folder.
    #[error(
        "the folder holds the events up to {archived}, and the log begins at {first}: name the folder to which the others were moved"
    )]
    Elsewhere {
        /// The last event in the folder.
        archived: u64,
        /// The first event in the log.
        first: u64,
    },
    /// The newest checkpoint does not cover what is to be moved out.
    #[error(
        "events up to {last} are old enough, and the newest checkpoint covers {size}: try again when it covers them"
    )]
    NotCovered {
        /// The last event that is old enough.
        last: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The events are not those that were signed.
    #[error("the events are not those that the log's checkpoint signs: run `logkey audit verify`")]
    Root,
    /// The archive's checkpoint cannot be signed.
    #[error("the archive's checkpoint cannot be signed")]
    Sign,
    /// No proof of the tree can be had.
    #[error("the log's tree cannot be read")]
    Tree(#[from] ProofError),
    /// What was said in the log was not signed in time.
    #[error("what was said in the log is not signed yet: do it again")]
    NotSigned,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveReport {
    /// How many events the archive holds: the first ones of the log.
    pub last: u64,
    /// How many of them were moved now.
    pub count: u64,
}

/// Moves out the events from before a time: by whole tiles of 256, none behind which there is an
/// intent whose end is not known, and none that a sink does not have yet.
///
/// # Errors
///
/// [`ArchiveError`].
pub async fn archive(
    parts: ArchiveInputs<'_>,
    before: Timestamp,
    folder: &Path,
) -> Result<ArchiveReport, ArchiveError> {
    let newest = parts.signed.newest().await?;
    let first = parts.log.after(0, 1).await?.first().map_or(1, |event| event.seq);
    let archived = archived_count(parts, folder, &newest).await?;
    if first > archived + 1 {
        return Err(ArchiveError::Elsewhere { archived, first });
    }
    let last = cutoff(parts, before, archived).await?;
    if last > newest.size {
        return Err(ArchiveError::NotCovered { last, size: newest.size });
    }
    let last = (last & !0xff).max(archived);
    if last == 0 {
        return Ok(ArchiveReport::default());
    }
    if last > archived {
        write(parts, archived, last, &newest, folder).await?;
    }
    let root = root(parts, &ArchiveReader::open(folder)?, first - 1, last).await?;
    record_move(parts, last, root).await?;
    parts.events.remove_through(last).await?;
    Ok(ArchiveReport { last, count: (last + 1).saturating_sub(first) })
}

/// How many events the folder holds already.
async fn archived_count(
    parts: ArchiveInputs<'_>,
    folder: &Path,
    newest: &SignedTree,
) -> Result<u64, ArchiveError> {
    c2sp_layout::make(folder)?;
    if !ArchiveReader::is_in(folder) {
        return Ok(0);
    }
    let (archive, origin) = (ArchiveReader::open(folder)?, parts.key.origin());
    let trusted = verify::trusted(parts.log, parts.tree, origin, &parts.key.verifiers(), None).await?;
    let signed = archive.signed(origin, &trusted)?;
    check_contiguous(parts, signed.size(), *signed.hash(), newest).await?;
    Ok(signed.size())
}

/// The last event from before the time, with all before it.
async fn cutoff(parts: ArchiveInputs<'_>, before: Timestamp, archived: u64) -> Result<u64, ArchiveError> {
    let young = EventFilter { since: Some(before), after: Some(archived), ..EventFilter::default() };
    let young = parts.log.next(&young, u64::MAX, 1).await?.first().map(|event| event.seq);
    let open = parts.log.open_intents(before).await?.first().map(|event| event.seq);
    let end = parts.log.list(&EventFilter::default(), None, 1).await?.first().map_or(0, |event| event.seq);
    // What a sink does not have yet stays.
    let unread = parts.events.read_through().await?.map(|last| last + 1);
    let stays = [young, open, unread, Some(end + 1)].into_iter().flatten().min().unwrap_or_default();
    Ok(stays.saturating_sub(1))
}

async fn write(
    parts: ArchiveInputs<'_>,
    archived: u64,
    last: u64,
    newest: &SignedTree,
    folder: &Path,
) -> Result<(), ArchiveError> {
    let mut layout = TileDirectory::new(folder, true);
    let mut edge = Edge::load(parts.tree, archived).await?.ok_or(ArchiveError::Root)?;
    export::events(parts.log, None, &mut edge, last, &mut layout).await?;
    let root = edge.root().ok_or(ArchiveError::Root)?;
    check_contiguous(parts, last, root, newest).await?;
    let note = parts.key.sign(last, root).ok_or(ArchiveError::Sign)?;
    export::keys(&mut layout, &parts.key.verifiers())?;
    Ok(layout.replace("checkpoint", note.as_bytes())?)
}

/// Whether what was signed begins with the tree of this size and root.
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

/// The root over what the archive holds, with everything from `from` on read again.
async fn root(
    parts: ArchiveInputs<'_>,
    archive: &ArchiveReader,
    from: u64,
    last: u64,
) -> Result<Hash, ArchiveError> {
    let mut edge = Edge::load(parts.tree, from & !0xff).await?.ok_or(ArchiveError::Root)?;
    let mut whole = Vec::new();
    while edge.size() < last {
        let page = archive.after(edge.size(), PAGE).await?;
        if page.is_empty() {
            return Err(ArchiveError::Root);
        }
        for event in page {
            edge.push(tree::leaf(event.body.as_bytes()), &mut whole);
        }
        whole.clear();
    }
    let root = edge.root().filter(|_| edge.size() == last).ok_or(ArchiveError::Root)?;
    let signed = parts.signed.newest().await?;
    check_contiguous(parts, last, root, &signed).await?;
    Ok(root)
}

/// Says in the log what was moved out, unless it says so already; returns when that is signed.
async fn record_move(parts: ArchiveInputs<'_>, last: u64, root: Hash) -> Result<(), ArchiveError> {
    let root: Box<str> = BASE64_STANDARD.encode(root.0).into();
    let filter = EventFilter { action: Some(ACTION.to_owned()), ..EventFilter::default() };
    let archive_event = parts.log.list(&filter, None, 1).await?;
    let same = |view: ParsedEvent| view.archived.is_some_and(|(at, over)| at == last && *over == *root);
    let archive_event = archive_event
        .iter()
        .find(|event| ParsedEvent::try_from(*event).is_ok_and(same))
        .map(|event| event.seq);
    let archive_event = if let Some(archive_event) = archive_event {
        archive_event
    } else {
        let log = LogEvent::Archived { last, root };
        let id = rotation::append_log_event(parts.audit, parts.clock, AuditOperation::Archive, log).await?;
        parts.log.find(id).await?.ok_or(ArchiveError::NotSigned)?.seq
    };
    let signed =
        tokio::time::timeout(CHECKPOINT_TIMEOUT, parts.signed.wait_for_size(archive_event - 1)).await;
    signed.map(drop).map_err(|_elapsed| ArchiveError::NotSigned)
}

impl std::fmt::Debug for ArchiveInputs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}
