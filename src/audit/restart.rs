//! Begins a new log in a store whose signing key is lost. `logkey audit restart` calls it while the service is
//! stopped. The former log stays as files, and the first event of the new log names its root.

use std::{
    fmt, fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use thiserror::Error;
use tlog_tiles::{Checkpoint, EMPTY_HASH};
use uuid::Uuid;

use super::{
    archive::archive_reader::ArchiveReader,
    batch_tag::BatchTagger,
    c2sp_layout,
    checkpoint::{self, CheckpointError, SigningKey},
    event,
    export::{self, ExportError, Handover, Signed},
    pending_changes::PendingChangeReader,
    proof::{Statement, StatementTree},
    tree,
};
use crate::{
    domain::{
        audit::{AuditOperation, Completion, Event, EventId, Kind, LogEvent, ReconciliationResult},
        idempotency::{RecordedStep, RequestOutcome},
        time::Timestamp,
    },
    ports::{
        AppendError, Batch, Clock, EventReader, LogReplacement, PendingChange, PendingChanges as _,
        SignedCheckpoint, TreeStore, Unavailable,
    },
};

/// How many events one read returns.
const PAGE: u32 = 1024;
/// The file of the events that no checkpoint covers.
const UNSIGNED: &str = "unsigned.jsonl";

/// The store and the files that [`restart`] uses.
#[derive(Clone, Copy)]
pub struct RestartInputs<'p> {
    /// Reads the events of the former log.
    pub log: &'p Arc<dyn EventReader>,
    /// Reads its checkpoint.
    pub tree: &'p dyn TreeStore,
    /// Replaces the log.
    pub replacement: &'p dyn LogReplacement,
    /// Holds the events that were moved out of the former log.
    pub archive: Option<&'p ArchiveReader>,
    /// The time of the first event.
    pub clock: &'p dyn Clock,
    /// Signs the new log.
    pub key: &'p SigningKey,
}

impl fmt::Debug for RestartInputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RestartInputs")
    }
}

/// The former log, as the new one names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerLog {
    /// How many events its newest checkpoint covers.
    pub size: u64,
    /// The root of that checkpoint, in base64.
    pub root: String,
    /// How many later events no checkpoint covers.
    pub unsigned: u64,
    /// How many of its changes had no outcome.
    pub open: usize,
}

/// Why the log was not replaced.
#[derive(Debug, Error)]
pub enum RestartError {
    /// The store is not available.
    #[error("the audit log cannot be read")]
    Unavailable(#[from] Unavailable),
    /// Nothing was ever signed.
    #[error(
        "the log has no checkpoint, so no key is lost: if it has events, restore a backup; otherwise start the service, which creates a key if it needs one"
    )]
    Unsigned,
    /// The newest checkpoint is malformed.
    #[error("the newest checkpoint cannot be read")]
    Checkpoint(#[from] CheckpointError),
    /// The key in place signed the log.
    #[error("the key in place signed this log, so it is not lost: start the service")]
    NotLost,
    /// The new key cannot sign.
    #[error("the new key cannot sign the new log, so nothing was changed")]
    Sign,
    /// The former log cannot be written as files.
    #[error("the former log cannot be kept as files, so nothing was changed")]
    Export(#[from] ExportError),
    /// The folder has the files of another log.
    #[error("{0} has the files of another log: name a new folder with --out")]
    Occupied(PathBuf),
    /// A file cannot be written.
    #[error("{path} cannot be written, so nothing was changed")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// An event cannot be serialized.
    #[error("an event cannot be written as JSON, so nothing was changed")]
    Event(#[from] serde_json::Error),
    /// The store refused the new log.
    #[error("the log could not be replaced: run the command again")]
    Append(#[from] AppendError),
}

/// The former log, by its newest checkpoint.
///
/// # Errors
///
/// [`RestartError`]; [`RestartError::NotLost`] if the key signed any of its checkpoints.
pub async fn newest_checkpoint(
    tree: &dyn TreeStore,
    key: &SigningKey,
) -> Result<(Checkpoint, String), RestartError> {
    let (origin, keys) = (key.origin(), key.verifiers());
    let stored = tree.checkpoints().await?;
    if stored.iter().any(|it| checkpoint::read(it.note.as_bytes(), origin, &keys).is_ok()) {
        return Err(RestartError::NotLost);
    }
    let signed = tree.checkpoint().await?.ok_or(RestartError::Unsigned)?;
    Ok((checkpoint::read_unverified(signed.note.as_bytes())?, signed.note))
}

/// Writes the former log to `folder`, and replaces it in the store. Changes without an outcome get one in the
/// new log: nobody can tell. Their idempotency keys may be used again.
///
/// # Errors
///
/// [`RestartError`].
pub async fn restart(inputs: RestartInputs<'_>, folder: &Path) -> Result<FormerLog, RestartError> {
    let RestartInputs { log, tree, replacement, archive, clock, key } = inputs;
    let (checkpoint, note) = newest_checkpoint(tree, key).await?;
    let handovers = handovers(tree).await?;
    let signed = Signed { checkpoint: &checkpoint, note: &note, verifiers: &[], handovers: &handovers };
    c2sp_layout::create_folder(folder)
        .map_err(|source| RestartError::File { path: folder.to_owned(), source })?;
    if fs::read(folder.join("checkpoint")).is_ok_and(|other| other != note.as_bytes()) {
        return Err(RestartError::Occupied(folder.to_owned()));
    }
    export::export(&**log, archive, &signed, folder).await?;
    let unsigned = write_unsigned(&**log, checkpoint.size(), &folder.join(UNSIGNED)).await?;
    let pending = PendingChangeReader::new(Arc::clone(log));
    let open = pending.list_pending(Timestamp::from_micros(i64::MAX)).await?;
    let former = FormerLog {
        size: checkpoint.size(),
        root: BASE64_STANDARD.encode(checkpoint.hash().0),
        unsigned,
        open: open.len(),
    };
    let now = clock.now();
    let note = key.sign(0, EMPTY_HASH, Some(0)).ok_or(RestartError::Sign)?;
    let empty = SignedCheckpoint { size: 0, time: now, note, handover: false };
    let mut first = vec![batch(&first_event(&former, now, key)?, None)?];
    for change in open {
        first.push(ended(change, now)?);
    }
    let tagger = BatchTagger::new(key);
    for (position, batch) in (0..).zip(&mut first) {
        batch.tag = tagger.tag(Some(position), &batch.leaves);
    }
    replacement.replace_log(&empty, &first).await?;
    Ok(former)
}

async fn handovers(tree: &dyn TreeStore) -> Result<Vec<Handover>, RestartError> {
    let stored = tree.checkpoints().await?.into_iter().filter(|it| it.handover);
    stored
        .map(|SignedCheckpoint { note, .. }| {
            let size = checkpoint::read_unverified(note.as_bytes())?.size();
            Ok(Handover { size, note })
        })
        .collect()
}

fn first_event(former: &FormerLog, now: Timestamp, key: &SigningKey) -> Result<Event, RestartError> {
    let FormerLog { size, root, unsigned, open } = former;
    let detail = format!(
        "the signing key of the former log was lost; {unsigned} of its events were not signed, and {open} of its \
         changes had no outcome"
    );
    let statement = Statement::Restart { size: *size, root };
    let proof = statement.sign(key, &StatementTree { size: 0, root: EMPTY_HASH });
    let proof = proof.ok_or(RestartError::Sign)?.into();
    Ok(Event {
        end: Some(success(Duration::ZERO)),
        log: Some(LogEvent::Restarted { size: *size, root: root.as_str().into(), proof }),
        detail: Some(detail.into()),
        ..Event::for_service(AuditOperation::RestartLog, now)
    })
}

/// The end of a change that the former log left open.
fn ended(change: PendingChange, now: Timestamp) -> Result<Batch, serde_json::Error> {
    let PendingChange { intent, event } = change;
    let event = Event {
        kind: Kind::Reconciled(ReconciliationResult::Indeterminate),
        time: now,
        closes: Some(intent),
        end: Some(success(now.since(event.time))),
        ..event
    };
    batch(&event, Some(RecordedStep::Outcome { intent, end: RequestOutcome::Open }))
}

fn success(latency: Duration) -> Completion {
    Completion { failure: None, aws_error: None, latency }
}

fn batch(event: &Event, step: Option<RecordedStep>) -> Result<Batch, serde_json::Error> {
    let id = EventId(Uuid::now_v7());
    let mut batch = Batch::default();
    let indexed = event::write(event, id, &mut batch.bytes)?;
    batch.leaves.push(tree::leaf(batch.body(&indexed)).0);
    batch.events.push(indexed);
    batch.requests.extend(step.map(|step| (id, step)));
    Ok(batch)
}

/// Writes the events that no checkpoint covers, one on each line, and returns their number.
async fn write_unsigned(log: &dyn EventReader, size: u64, path: &Path) -> Result<u64, RestartError> {
    let failed = |source| RestartError::File { path: path.to_owned(), source };
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    let (mut last, mut count) = (size, 0);
    loop {
        let page = log.after(last, PAGE).await?;
        let Some(newest) = page.last() else { break };
        last = newest.seq;
        for event in &page {
            writeln!(file, "{}", event.body).map_err(failed)?;
            count += 1;
        }
    }
    file.sync_all().map_err(failed)?;
    Ok(count)
}
