//! `logkey audit export`: writes the log as files in the tlog-tiles layout.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use logkey_client::output::{Column, OutputArgs, Report, Table, print};
use serde_json::json;

use super::{
    counting_reader::CountingReader,
    failure::Failure,
    log_location::{LogLocation, TrustArgs},
};
use crate::{
    audit::{
        checkpoint,
        export::{Signed, export},
        verify::{NewestCheckpoint, TrustedLog},
    },
    cli::progress::Progress,
    config::ArchiveTarget,
    domain::plural::plural,
    store,
};

/// The arguments of `logkey audit export`.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    location: LogLocation,
    #[command(flatten)]
    trust: TrustArgs,
    /// The folder to write to; it is created if it does not exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The folder or bucket of the archive, if events were moved there [default: `audit.archive`].
    #[arg(long, value_name = "DIR")]
    archive: Option<ArchiveTarget>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: ExportArgs) -> Result<ExitCode, Failure> {
    let log = args.location.log()?;
    let open = store::open_reader(&log.store).await?;
    let archive = log.archive_reader(args.archive.as_ref(), &*open.log).await?;
    let TrustedLog { mut verifiers, newest, handovers, .. } =
        log.trusted(&open, &log.verifiers(&args.trust)?, archive.as_ref()).await?;
    let NewestCheckpoint { checkpoint, note } = newest?;
    // The signing key goes first, because other tools know only one key.
    let signs =
        |key: &String| checkpoint::read(note.as_bytes(), &log.origin, std::slice::from_ref(key)).is_ok();
    verifiers.sort_by_key(|key| !signs(key));
    let signed =
        Signed { checkpoint: &checkpoint, note: &note, verifiers: &verifiers, handovers: &handovers };
    let size = checkpoint.size();
    let log = CountingReader::new(open.log, Progress::new("exporting", size, &args.output));
    export(&log, archive.as_ref(), &signed, &args.out).await?;
    drop(log);
    let folder = args.out.display().to_string();
    let mut table = Table::new(&[Column::new("folder"), Column::new("events")], "").hidden();
    table.push([folder.clone(), size.to_string()]);
    let report = Report::new(json!({ "folder": folder, "events": size }), table);
    print(&report.notes([format!("{} written to {folder}", plural(size, "event"))]), &args.output)?;
    Ok(ExitCode::SUCCESS)
}
