//! The commands that call the service.

use std::process::ExitCode;

use clap::Subcommand;

use super::{bulk, change, checks, context, events, get, list, login, report, rule, usage, whoami};
use crate::failure;

/// A command that calls the service.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Get a token from an issuer, and keep it with a context
    Login(login::LoginArgs),
    /// Show how the service identifies you and what your tenant may do
    Whoami(whoami::WhoamiArgs),
    /// Show the key of a log group or of query results
    Get(get::GetArgs),
    /// List log groups and their keys
    List(list::ListArgs),
    /// Set the key of a log group or of query results
    Associate(change::AssociateArgs),
    /// Remove the key of a log group or of query results
    Disassociate(change::DisassociateArgs),
    /// Check whether a key could be set, and show what to change if not
    CheckKey(checks::CheckKeyArgs),
    /// Show whether a key may be deleted, and what still needs it
    Usage(usage::UsageArgs),
    /// Test the role in every account of the tenant
    Access(checks::AccessArgs),
    /// Change the keys of many log groups with jobs
    Bulk(bulk::BulkArgs),
    /// Keep the keys of log groups as rules say
    Rule(rule::RuleArgs),
    /// Read the audit log through the service
    Events(events::EventsArgs),
    /// Report which log groups have the key that they must have
    Report(report::ReportArgs),
    /// Keep the options of a connection under a name
    Context(context::ContextArgs),
}

/// Runs the command and returns its exit code.
pub async fn run(command: ClientCommand) -> ExitCode {
    failure::report(match command {
        ClientCommand::Login(args) => login::run(args).await,
        ClientCommand::Whoami(args) => whoami::run(args).await,
        ClientCommand::Get(args) => get::run(args).await,
        ClientCommand::List(args) => list::run(args).await,
        ClientCommand::Associate(args) => change::associate(args).await,
        ClientCommand::Disassociate(args) => change::disassociate(args).await,
        ClientCommand::CheckKey(args) => checks::check_key(args).await,
        ClientCommand::Usage(args) => usage::run(args).await,
        ClientCommand::Access(args) => checks::access(args).await,
        ClientCommand::Bulk(args) => bulk::run(args).await,
        ClientCommand::Rule(args) => rule::run(args).await,
        ClientCommand::Events(args) => events::run(args).await,
        ClientCommand::Report(args) => report::run(args).await,
        ClientCommand::Context(args) => context::run(&args),
    })
}
