//! `logkey audit prove`: a proof that an event is in the log, to be checked by anyone who has the
//! event and the log's verifier key.

use std::{fs, io::Write as _, path::PathBuf, process::ExitCode};

use clap::Args;
use uuid::Uuid;

use super::{Failure, Place, Trust};
use crate::{audit::prove, domain::audit::EventId, store};

/// Of which event, and where to.
#[derive(Debug, Args)]
pub(super) struct ProveArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    trust: Trust,
    /// The event's id.
    id: Uuid,
    /// The file to write (C2SP tlog-proof); otherwise it is printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn run(args: ProveArgs) -> Result<ExitCode, Failure> {
    let log = args.place.log()?;
    let verifier = log.verifier(&args.trust)?;
    let open = store::open_reader(&log.store).await?;
    let found = open.log.find(EventId(args.id)).await?;
    let event = found.ok_or_else(|| format!("the log has no event {}", args.id))?;
    let (note, checkpoint) = log.newest(&open, &verifier).await?;
    let hashes = prove::inclusion(&*open.tree, event.seq, checkpoint.size()).await?;
    let leaf = tlog_tiles::record_hash(event.body.as_bytes());
    tlog_tiles::check_record(&hashes, checkpoint.size(), *checkpoint.hash(), event.seq - 1, leaf)
        .map_err(|_wrong| "the event does not lead to the signed root: run `logkey audit verify`")?;
    let text = prove::text(event.seq, &hashes, &note);
    match &args.out {
        Some(path) => fs::write(path, text)?,
        None => write!(anstream::stdout(), "{text}")?,
    }
    Ok(ExitCode::SUCCESS)
}
