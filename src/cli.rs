//! The verbs of the `logkey` command, one file each.

pub mod audit;
pub mod check;
#[cfg(feature = "sandbox")]
mod demo;
mod limits;
mod onboarding;
pub mod policy;
mod runtime;
#[cfg(feature = "sandbox")]
pub mod sandbox;
mod serve;
pub mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::runtime::block_on;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "logkey",
    version,
    about = "Lets tenants set KMS keys on their own CloudWatch Logs log groups, over gRPC",
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    verb: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Serve(serve::ServeArgs),
    /// Say everything that is wrong with a configuration, without starting anything
    Check(check::CheckArgs),
    /// Watch the whole main job on this machine, with nothing installed and no AWS account
    #[cfg(feature = "sandbox")]
    Demo(demo::DemoArgs),
    /// Run the embedded stand-in for AWS alone
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::SandboxArgs),
    /// Sign a token for trying things out, or make the keys for it
    Token(token::TokenArgs),
    /// See what policy permits, and test it
    Policy(policy::PolicyArgs),
    /// Print what to install in an account of a tenant's: policies, Terraform or `CloudFormation`
    Onboarding(onboarding::OnboardingArgs),
    /// Read the audit log
    Audit(audit::AuditArgs),
    /// See where tenants' and accounts' limits stand now
    Limits(limits::LimitsArgs),
}

/// Reads the command line and does what it says.
#[must_use]
pub fn run() -> ExitCode {
    match Cli::parse().verb {
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
        Command::Limits(args) => block_on(limits::run(args)),
    }
}
