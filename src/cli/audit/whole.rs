//! `logkey audit verify`: says whether the log is whole, and if not, where it was changed.

use std::{
    fs,
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use super::{Failure, Place, Trust, tell};
use crate::{
    audit::{
        archive::Archive,
        checkpoint,
        verify::{Against, MovedOut, Report, verify},
    },
    store,
};

/// How many events are checked between two words about it.
const WORD_EVERY: u64 = 100_000;

/// What to check, against what.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    trust: Trust,
    /// A checkpoint of the log that was kept elsewhere.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The archive to which events were moved out.
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
}

pub(super) async fn run(args: VerifyArgs) -> Result<ExitCode, Failure> {
    let log = args.place.log()?;
    let verifiers = log.verifiers(&args.trust)?;
    let open = store::open_reader(&log.store).await?;
    let trusted = log.trusted(&open, &verifiers).await?;
    let archive = args.archive.as_deref().map(Archive::open).transpose()?;
    if let Some(archive) = &archive {
        archive.signed(&log.origin, &trusted)?;
    }
    let kept = match &args.checkpoint {
        Some(path) => Some(checkpoint::read(&fs::read(path)?, &log.origin, &trusted)?),
        None => None,
    };
    let (kept, archive) = (kept.as_ref(), archive.as_ref());
    let against = Against { origin: &log.origin, verifiers: &verifiers, kept, archive };
    let terminal = std::io::stderr().is_terminal();
    let mut next = WORD_EVERY;
    let report = verify(&*open.log, &*open.tree, &against, |count| {
        if terminal && count >= next {
            tell(&format!("{count} events checked"));
            next = count + WORD_EVERY;
        }
    })
    .await?;
    print(&report)
}

fn print(report: &Report) -> Result<ExitCode, Failure> {
    let Report { events, signed, findings, moved_out } = report;
    let mut out = anstream::stdout().lock();
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    if let Some(MovedOut { last, said, .. }) = moved_out {
        writeln!(out, "events 1 to {last} were moved out to an archive, as event {said} of the log says")?;
    }
    if !findings.is_empty() {
        writeln!(out, "changed: {events} events, of which a checkpoint covers {signed}")?;
        return Ok(ExitCode::from(1));
    }
    if let Some(MovedOut { last, checked: false, .. }) = moved_out {
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
