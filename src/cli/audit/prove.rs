//! `logkey audit prove`: writes a proof that an event is in the log. Anyone who has the event and the log's
//! verifier key can check it.

use std::{fs, io::Write as _, path::PathBuf, process::ExitCode};

use clap::Args;
use uuid::Uuid;

use super::{
    failure::Failure,
    log_location::{LogLocation, TrustArgs},
};
use crate::{
    audit::{prove, verify::NewestCheckpoint},
    config::ArchiveTarget,
    domain::audit::EventId,
    ports::TreeStore,
    store,
};

/// The arguments of `logkey audit prove`.
#[derive(Debug, Args)]
pub(super) struct ProveArgs {
    #[command(flatten)]
    location: LogLocation,
    #[command(flatten)]
    trust: TrustArgs,
    /// The event's id.
    id: Uuid,
    /// The folder or bucket of the archive, if the event was moved there [default: `audit.archive`].
    #[arg(long, value_name = "DIR")]
    archive: Option<ArchiveTarget>,
    /// The file to write the proof to, as a C2SP tlog-proof [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn run(args: ProveArgs) -> Result<ExitCode, Failure> {
    let log = args.location.log()?;
    let trusted_keys = log.verifiers(&args.trust)?;
    let open = store::open_reader(&log.store).await?;
    let archive = log.archive_reader(args.archive.as_ref(), &*open.log).await?;
    let trusted = log.trusted(&open, &trusted_keys, archive.as_ref()).await?;
    let id = EventId(args.id);
    let stored = open.log.find(id).await?.filter(|_| args.archive.is_none());
    // The archive alone proves its events.
    let (event, tree, signed): (_, &dyn TreeStore, _) = match archive.as_ref().filter(|_| stored.is_none()) {
        Some(archive) => {
            let checkpoint = archive.signed(&log.origin, &trusted.verifiers)?;
            let note = archive.signed_note().to_owned();
            (archive.find(id).await?, archive, NewestCheckpoint { checkpoint, note })
        }
        None => (stored, &*open.tree, trusted.newest?),
    };
    let NewestCheckpoint { checkpoint, note } = signed;
    let event = event.ok_or_else(|| {
        format!("the log has no event {id}; if it was moved out, name its archive with --archive")
    })?;
    let hashes = prove::inclusion(tree, event.seq, checkpoint.size()).await?;
    let leaf = prove::leaf(event.body.as_bytes());
    tlog_tiles::check_record(&hashes, checkpoint.size(), *checkpoint.hash(), event.seq - 1, leaf)
        .map_err(|_wrong| "the event does not match the signed root: run `logkey audit verify`")?;
    let text = prove::text(event.seq, &hashes, &note);
    match &args.out {
        Some(path) => fs::write(path, text)?,
        None => write!(anstream::stdout(), "{text}")?,
    }
    Ok(ExitCode::SUCCESS)
}
