//! `logkey audit verify`: says whether the log is whole, and if not, where it was changed.

use std::{
    fs,
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use tlog_tiles::Checkpoint;

use super::{Failure, LogLocation, TrustArgs, print};
use crate::{
    audit::{
        archive::ArchiveReader,
        checkpoint,
        verify::{self, ArchivedRanges, Report, TrustAnchor},
    },
    store,
};

/// How many events are checked between two words about it.
const PROGRESS_EVERY: u64 = 100_000;

/// What to check, against what.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    location: LogLocation,
    #[command(flatten)]
    trust: TrustArgs,
    /// A checkpoint of the log that was kept elsewhere.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The archive to which events were moved out.
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
}

pub(super) async fn run(args: VerifyArgs) -> Result<ExitCode, Failure> {
    let log = args.location.log()?;
    let open = store::open_reader(&log.store).await?;
    let archive = args.archive.as_deref().map(ArchiveReader::open).transpose()?;
    let archive = archive.as_ref();
    let note = args.checkpoint.as_deref().map(fs::read).transpose()?;
    let given = |verifiers: &[String]| -> Result<Option<Checkpoint>, Failure> {
        archive.map(|archive| archive.signed(&log.origin, verifiers)).transpose()?;
        Ok(note.as_ref().map(|note| checkpoint::read(note, &log.origin, verifiers)).transpose()?)
    };
    let mut verifiers = log.verifiers(&args.trust)?;
    // Only where another key signed one of them is the log looked through for who that may be.
    if given(&verifiers).is_err() {
        verifiers = log.trusted(&open, &verifiers, archive).await?;
    }
    let kept_checkpoint = given(&verifiers)?;
    let kept_checkpoint = kept_checkpoint.as_ref();
    let against = TrustAnchor { origin: &log.origin, verifiers: &verifiers, kept_checkpoint, archive };
    let terminal = std::io::stderr().is_terminal();
    let mut next = PROGRESS_EVERY;
    let report = verify::verify(&*open.log, &*open.tree, &against, |count| {
        if terminal && count >= next {
            print(&format!("{count} events checked"));
            next = count + PROGRESS_EVERY;
        }
    })
    .await?;
    print_report(&report)
}

fn print_report(report: &Report) -> Result<ExitCode, Failure> {
    let Report { events, signed, findings, moved_out } = report;
    let mut out = anstream::stdout().lock();
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    if let Some(ArchivedRanges { last, claimed: said, .. }) = moved_out {
        writeln!(out, "events 1 to {last} were moved out to an archive, as event {said} of the log says")?;
    }
    if !findings.is_empty() {
        writeln!(out, "changed: {events} events, of which a checkpoint covers {signed}")?;
        return Ok(ExitCode::from(1));
    }
    if let Some(ArchivedRanges { last, checked: false, .. }) = moved_out {
        writeln!(
            out,
            "could not be told of events 1 to {last}: name their archive with --archive; the rest is whole: \
             {events} events, of which a signed checkpoint covers {signed}"
        )?;
        return Ok(ExitCode::from(2));
    }
    writeln!(out, "whole: {events} events, of which a signed checkpoint covers {signed}")?;
    Ok(ExitCode::SUCCESS)
}
