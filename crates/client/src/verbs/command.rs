//! The commands that call the service.

use std::process::ExitCode;

use clap::Subcommand;

use super::{context, whoami};
use crate::failure::report;

/// A command that calls the service.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Show how the service identifies you and what your tenant may do
    Whoami(whoami::WhoamiArgs),
    /// Keep the options of a connection under a name
    Context(context::ContextArgs),
}

/// Runs the command and returns its exit code.
pub async fn run(command: ClientCommand) -> ExitCode {
    report(match command {
        ClientCommand::Whoami(args) => whoami::run(args).await,
        ClientCommand::Context(args) => context::run(&args),
    })
}
