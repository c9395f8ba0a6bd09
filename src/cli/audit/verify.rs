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
        checkpoint,
        verify::{Against, Report, verify},
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
}

pub(super) async fn run(args: VerifyArgs) -> Result<ExitCode, Failure> {
    let log = args.place.log()?;
    let verifiers = [log.verifier(&args.trust)?];
    let kept = match &args.checkpoint {
        Some(path) => Some(checkpoint::read(&fs::read(path)?, &log.origin, &verifiers)?),
        None => None,
    };
    let open = store::open_reader(&log.store).await?;
    let against = Against { origin: &log.origin, verifiers: &verifiers, kept: kept.as_ref() };
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
    let Report { events, signed, findings } = report;
    let mut out = anstream::stdout().lock();
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    if findings.is_empty() {
        writeln!(out, "whole: {events} events, of which a signed checkpoint covers {signed}")?;
        Ok(ExitCode::SUCCESS)
    } else {
        writeln!(out, "changed: {events} events, of which a checkpoint covers {signed}")?;
        Ok(ExitCode::from(1))
    }
}
