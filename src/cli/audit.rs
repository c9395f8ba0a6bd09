//! `logkey audit`: reads and verifies the audit log, also while the service runs. It also moves old events to
//! an archive and rotates the signing key.

mod archive;
mod archived;
mod counting_reader;
mod export;
pub(super) mod failure;
mod filter;
mod list;
pub(super) mod log_location;
mod offline;
mod prove;
pub mod report;
mod restart;
mod rotate_key;
mod show;
mod story;
mod verify;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// The arguments of `logkey audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List events, newest first.
    List(list::ListArgs),
    /// Print the story of one call: what was asked, and each event until its end.
    Show(show::ShowArgs),
    /// Verify that the log is complete and unchanged: exits with 0 if it is, 1 if it was changed, 2 if
    /// verify cannot tell.
    Verify(verify::VerifyArgs),
    /// Write the log as files that other tools can verify.
    Export(export::ExportArgs),
    /// Write a proof that an event is in the log.
    Prove(prove::ProveArgs),
    /// Move old events to an archive, as a running service does with `audit.retention`. With SQLite, stop the
    /// service first.
    Archive(archive::ArchiveArgs),
    /// Replace the key that signs the log's checkpoints.
    RotateKey(rotate_key::RotateKeyArgs),
    /// Begin a new log, because the key that signed this one is lost.
    Restart(restart::RestartArgs),
}

/// Runs the subcommand and returns its exit code: 2 if the configuration is invalid or if `verify` cannot
/// tell, and 1 for other errors.
pub async fn run(args: AuditArgs) -> ExitCode {
    let is_verify = matches!(args.command, Command::Verify(_));
    let result = match args.command {
        Command::List(args) => list::run(args).await,
        Command::Show(args) => show::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Export(args) => export::run(args).await,
        Command::Prove(args) => prove::run(args).await,
        Command::Archive(args) => archive::run(args).await,
        Command::RotateKey(args) => rotate_key::run(args).await,
        Command::Restart(args) => restart::run(args).await,
    };
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(if is_verify { 2 } else { 1 }),
    }
}
