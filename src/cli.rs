//! The subcommands of the `logkey` command, one file each.

pub mod audit;
mod backup;
pub mod check;
mod completion;
pub mod config_file;
#[cfg(feature = "sandbox")]
mod demo;
mod healthcheck;
mod init;
mod limits;
mod onboarding;
pub mod policy;
mod progress;
mod proto;
mod restore;
mod runtime;
#[cfg(feature = "sandbox")]
pub mod sandbox;
mod serve;
mod service_manager;
pub mod token;
mod version;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use logkey_client::{
    connection::ignore_empty_variables,
    verbs::{ClientCommand, Names},
};

use self::{config_file::ConfigFile, runtime::block_on};
use crate::{
    audit::event::{operation_names, outcome_names},
    domain::reason::Reason,
};

/// The arguments of the process.
#[derive(Debug, Parser)]
#[command(
    name = "logkey",
    version,
    about = "Lets tenants set KMS keys on their own CloudWatch Logs log groups, over gRPC",
    max_term_width = 100
)]
struct Cli {
    #[command(flatten)]
    config: ConfigFile,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented configuration and keys for trying logkey out
    Init(init::InitArgs),
    /// Run the service
    Serve(serve::ServeArgs),
    /// Report every problem in a configuration, without starting the service
    Check(check::CheckArgs),
    /// Demonstrate changes, a crash, a bulk job and the audit log on this machine, without an AWS account
    #[cfg(feature = "sandbox")]
    Demo(demo::DemoArgs),
    /// Run the embedded AWS alone, for tests and trials
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::SandboxArgs),
    /// Sign a token for trials, or create keys for it
    Token(token::TokenArgs),
    /// Show what the policies permit, and test them
    Policy(policy::PolicyArgs),
    /// Print what to install in a tenant's account: policies, Terraform or CloudFormation
    Onboarding(onboarding::OnboardingArgs),
    /// Read, verify and maintain the audit log
    Audit(audit::AuditArgs),
    /// Back up a SQLite store and its signing key, also while the service runs
    Backup(backup::BackupArgs),
    /// Restore a backup of a SQLite store
    Restore(restore::RestoreArgs),
    /// Show the current state of tenant quotas and AWS quotas
    Limits(limits::LimitsArgs),
    /// Ask a running service for its health: exits with 0 if it can serve calls, and with 1 if not
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Write the .proto files and their descriptor set, to generate clients from
    Proto(proto::ProtoArgs),
    /// Print the script that completes commands in a shell
    Completion(completion::CompletionArgs),
    /// Write the manual pages of every command
    Man(completion::ManArgs),
    /// Show which version this is
    Version(version::VersionArgs),
    #[command(flatten)]
    Client(Box<ClientCommand>),
}

/// Parses the command line, runs the subcommand and returns its exit code.
#[must_use]
pub fn run() -> ExitCode {
    let parsed = Cli::from_arg_matches(&command().get_matches());
    match parsed.unwrap_or_else(|error| error.exit()).command {
        Command::Serve(args) => block_on(serve::run(args)),
        Command::Check(args) => check::run(&args),
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => block_on(demo::run(args)),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => block_on(sandbox::run(args)),
        Command::Token(args) => token::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Onboarding(args) => block_on(onboarding::run(args)),
        Command::Audit(args) => block_on(audit::run(args)),
        Command::Backup(args) => block_on(backup::run(args)),
        Command::Restore(args) => restore::run(&args),
        Command::Limits(args) => block_on(limits::run(args)),
        Command::Healthcheck(args) => block_on(healthcheck::run(args)),
        Command::Proto(args) => proto::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Completion(args) => completion::run(&args, command()),
        Command::Version(args) => version::run(&args),
        Command::Man(args) => completion::write_man_pages(&args, command()),
        Command::Client(command) => block_on(logkey_client::verbs::run(*command)),
    }
}

/// Every command, with the names that its options take.
fn command() -> clap::Command {
    let names = Names {
        actions: operation_names().collect(),
        outcomes: outcome_names().collect(),
        reasons: Reason::ALL.iter().map(|reason| reason.as_str()).collect(),
    };
    ignore_empty_variables(names.restrict(Cli::command()))
}
