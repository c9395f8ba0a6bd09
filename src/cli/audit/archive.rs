//! `logkey audit archive`: moves old events out to a folder, and lets go of them in the store.

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use super::{Failure, LogLocation, offline::StandaloneSequencer};
use crate::{
    app::SystemClock,
    audit::archive::{ArchiveReport, archive},
    config::parse_duration,
    ports::Clock as _,
};

/// Which events, and where to.
#[derive(Debug, Args)]
pub(super) struct ArchiveArgs {
    #[command(flatten)]
    position: LogLocation,
    /// Events older than this, such as 90d; otherwise `audit.archive_after`.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    older_than: Option<Duration>,
    /// The folder, always the same one; otherwise `audit.archive_dir`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) async fn run(args: ArchiveArgs) -> Result<ExitCode, Failure> {
    let log = args.position.log()?;
    let after = args.older_than.or(log.archive.after);
    let after = after.ok_or("how old are events that go? Say so with --older-than or audit.archive_after")?;
    let folder = args.out.or_else(|| log.archive.dir.clone());
    let folder = folder.ok_or("where to? Name the folder with --out or audit.archive_dir")?;
    let open = StandaloneSequencer::open(&log).await?;
    let moved = archive(open.parts(), SystemClock.now().minus(after), &folder).await;
    open.close().await;
    let ArchiveReport { last, count } = moved?;
    let folder = folder.display();
    writeln!(anstream::stdout(), "{count} events moved out; {folder} holds the first {last} of the log")?;
    Ok(ExitCode::SUCCESS)
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("a time such as 90d is expected")
}
