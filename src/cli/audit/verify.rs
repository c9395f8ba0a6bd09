//! `logkey audit verify`: reports whether the log is complete and unchanged, or where it was changed.

use std::{fs, io::Write as _, path::PathBuf, process::ExitCode};

use clap::Args;
use tlog_tiles::Checkpoint;

use super::{
    failure::Failure,
    log_location::{LogLocation, TrustArgs},
};
use crate::{
    audit::{
        archive::ArchiveReader,
        checkpoint,
        verify::{self, ArchivedRanges, Report, TrustAnchor, UnsignedEvents},
    },
    cli::progress::Progress,
    domain::plural::plural,
    ports::EventFilter,
    store,
};

/// The arguments of `logkey audit verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    location: LogLocation,
    #[command(flatten)]
    trust: TrustArgs,
    /// A checkpoint of the log that you stored elsewhere.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The folder of the archive, if events were moved there.
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
}

pub(super) async fn run(args: VerifyArgs) -> Result<ExitCode, Failure> {
    let log = args.location.log()?;
    let open = store::open_reader(&log.store).await?;
    let archive = args.archive.as_deref().map(ArchiveReader::open).transpose()?;
    let archive = archive.as_ref();
    let note = args.checkpoint.as_deref().map(fs::read).transpose()?;
    let read_checkpoint = |verifiers: &[String]| -> Result<Option<Checkpoint>, Failure> {
        archive.map(|archive| archive.signed(&log.origin, verifiers)).transpose()?;
        Ok(note.as_ref().map(|note| checkpoint::read(note, &log.origin, verifiers)).transpose()?)
    };
    let verifiers = log.verifiers(&args.trust)?;
    // Search the log for further keys only if another key signed one of these checkpoints.
    let kept_checkpoint = match read_checkpoint(&verifiers) {
        Ok(kept_checkpoint) => kept_checkpoint,
        Err(_other_key) => {
            let trusted = log.trusted(&open, &verifiers, archive).await?;
            read_checkpoint(&trusted.comparable_verifiers())?
        }
    };
    let (kept_checkpoint, key_file) = (kept_checkpoint.as_ref(), log.key_file().ok());
    let key_file = key_file.as_deref();
    let against =
        TrustAnchor { origin: &log.origin, verifiers: &verifiers, kept_checkpoint, archive, key_file };
    let newest = open.log.list(&EventFilter::default(), None, 1).await?;
    let progress = Progress::new("verifying", newest.first().map_or(0, |event| event.seq));
    let report = verify::verify(&*open.log, &*open.tree, &against, |count| progress.set(count)).await?;
    drop(progress);
    print_report(&report)
}

fn print_report(report: &Report) -> Result<ExitCode, Failure> {
    let Report { events, signed, findings, moved_out, unsigned, unproven } = report;
    let mut out = anstream::stdout().lock();
    let total = plural(*events, "event");
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    for unproven in unproven {
        writeln!(out, "unproven: {unproven}")?;
    }
    if let Some(ArchivedRanges { last, claimed, .. }) = moved_out {
        writeln!(out, "events 1 to {last} were moved out to an archive, as event {claimed} of the log says")?;
    }
    if !findings.is_empty() {
        writeln!(out, "changed: {total}; a checkpoint covers {signed} of them")?;
        return Ok(ExitCode::from(1));
    }
    if let Some(ArchivedRanges { last, checked: false, .. }) = moved_out {
        writeln!(
            out,
            "events 1 to {last} were not checked: name their archive with --archive; the rest is intact: \
             {total}; a signed checkpoint covers {signed} of them"
        )?;
        return Ok(ExitCode::from(2));
    }
    let intact = format!("intact: {total}; a signed checkpoint covers {signed} of them");
    match unsigned {
        None => writeln!(out, "{intact}")?,
        Some(UnsignedEvents { count, is_checked: true }) => {
            let unsigned = plural(*count, "event");
            writeln!(out, "{intact}, and the service wrote the {unsigned} after it")?;
        }
        Some(UnsignedEvents { count, is_checked: false }) => {
            let unsigned = plural(*count, "event");
            writeln!(
                out,
                "the {unsigned} after the newest checkpoint were not checked: run verify again when a \
                 checkpoint covers them, or where the signing key is; the rest is intact: {total}; a signed \
                 checkpoint covers {signed} of them"
            )?;
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}
