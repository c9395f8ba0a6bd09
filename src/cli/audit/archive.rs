//! `logkey audit archive`: moves old events to an archive and removes them from the store.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use logkey_client::output::{Column, OutputArgs, Report, Table, print};
use serde_json::json;

use super::{
    counting_reader::CountingReader, failure::Failure, log_location::LogLocation,
    offline::StandaloneSequencer,
};
use crate::{
    app::SystemClock,
    audit::archive::{ArchiveInputs, ArchiveReport, archive},
    cli::progress::Progress,
    config::{ArchiveTarget, parse_duration},
    domain::plural::plural,
    ports::Clock as _,
};

/// The arguments of `logkey audit archive`.
#[derive(Debug, Args)]
pub(super) struct ArchiveArgs {
    #[command(flatten)]
    location: LogLocation,
    /// Move events older than this, such as 90d [default: `audit.retention`].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    older_than: Option<Duration>,
    /// The folder of the archive, or its bucket such as `s3://example-audit/logkey`: the same one in each run
    /// [default: `audit.archive`].
    #[arg(long, value_name = "DIR")]
    out: Option<ArchiveTarget>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: ArchiveArgs) -> Result<ExitCode, Failure> {
    let log = args.location.log()?;
    let after = args.older_than.or(log.archive.retention);
    let after =
        after.ok_or("the age of the events to move is not set: use --older-than or audit.retention")?;
    let target = args.out.or_else(|| log.archive.target.clone());
    let target = target.ok_or("the archive is not set: use --out or audit.archive")?;
    let files = log.files(&target).await?;
    let open = StandaloneSequencer::open(&log).await?;
    let (events, newest) = open.log().await?;
    let counting = CountingReader::new(events, Progress::new("archiving", newest, &args.output));
    let inputs = ArchiveInputs { log: &counting, ..open.parts() };
    let report = archive(inputs, SystemClock.now().minus(after), &files).await;
    drop(counting);
    open.close().await;
    let ArchiveReport { last, count } = report?;
    let folder = files.to_string();
    let document = json!({ "folder": folder, "moved": count, "archivedEvents": last });
    let columns = [Column::new("folder"), Column::new("moved"), Column::new("archived_events")];
    let mut table = Table::new(&columns, "").hidden();
    table.push([folder.clone(), count.to_string(), last.to_string()]);
    let (moved, all) = (plural(count, "event"), plural(last, "event"));
    let note = format!("{moved} moved out; {folder} contains the first {all} of the log");
    print(&Report::new(document, table).notes([note]), &args.output)?;
    Ok(ExitCode::SUCCESS)
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("expected a duration such as 90d")
}
