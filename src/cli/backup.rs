//! `logkey backup`: copies a SQLite store and its key, also while the service runs.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::Args;

use super::audit::{failure::Failure, log_location::LogLocation};
use crate::{
    app::backup::{BackupSource, back_up},
    domain::plural::plural,
};

/// Back up the store.
#[derive(Args, Debug)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    location: LogLocation,
    /// The folder to write to; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Omit the key that signs checkpoints; keep a copy of it elsewhere
    #[arg(long)]
    without_key: bool,
}

/// Runs the subcommand and returns its exit code: 1 for an error, and 2 if the configuration is invalid.
pub(super) async fn run(args: BackupArgs) -> ExitCode {
    match write_backup(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(1),
    }
}

async fn write_backup(args: &BackupArgs) -> Result<(), Failure> {
    let log = args.location.log()?;
    let key_file = if args.without_key || log.store.is_shared() { None } else { Some(log.key_file()?) };
    let source = BackupSource { store: log.store, origin: log.origin, key_file };
    let manifest = back_up(&source, &args.out).await?;
    let key = if manifest.has_key() { "" } else { "; the signing key is not included" };
    writeln!(
        anstream::stdout(),
        "{} written to {}; a signed checkpoint covers {} of them{key}",
        plural(manifest.events, "event"),
        args.out.display(),
        manifest.signed
    )?;
    Ok(())
}
