//! `logkey restore`: restores a backup of `logkey backup`. It never overwrites a store or a key.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::Args;

use super::audit::{failure::Failure, log_location::LogLocation};
use crate::{
    app::backup::{BackupError, RestoreTarget, restore},
    domain::plural::plural,
};

/// Restore a backup.
#[derive(Args, Debug)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    location: LogLocation,
    /// The folder of the backup
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
}

/// Runs the subcommand and returns its exit code: 1 for an error, and 2 if the configuration is invalid.
pub(super) fn run(args: &RestoreArgs) -> ExitCode {
    match restore_configured(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(1),
    }
}

fn restore_configured(args: &RestoreArgs) -> Result<(), Failure> {
    let log = args.location.log().map_err(|failure| with_advice(failure, args))?;
    if log.store.is_shared() {
        return Err(BackupError::Shared.into());
    }
    let key_file = log.key_file()?;
    let target = RestoreTarget { store: log.store, origin: log.origin, key_file };
    let manifest = restore(&args.from, &target)?;
    writeln!(
        anstream::stdout(),
        "{} of {} restored; a signed checkpoint covers {} of them. Compare the log with a checkpoint that you kept \
         elsewhere before you start the service: logkey audit verify --checkpoint FILE reports if the backup is \
         older. Events after the backup are lost.",
        plural(manifest.events, "event"),
        manifest.created,
        manifest.signed
    )?;
    Ok(())
}

/// A configuration that names a key file is invalid until the key is there.
fn with_advice(failure: Failure, args: &RestoreArgs) -> Failure {
    match failure {
        Failure::Settings(text) if text.contains("checkpoint_key_file") => Failure::Settings(format!(
            "{text}\ncopy {} to audit.checkpoint_key_file first, readable only by the service",
            args.from.join("checkpoint-key.pem").display()
        )),
        failure @ (Failure::Settings(_) | Failure::Other(_)) => failure,
    }
}
