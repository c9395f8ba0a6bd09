//! `logkey policy`: shows a tenant's policies, explains one decision, and tests whether the policies decide
//! as an operator expects.

mod call_args;
mod explain;
mod failure;
mod show;
mod table;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Args, Subcommand};

use self::failure::{Failure, lines};
use super::config_file::ConfigFile;
use crate::config::{Env, ProcessEnv, Settings};

/// The arguments of `logkey policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print every policy that applies to a tenant, or the schema of the policies
    Show(show::ShowArgs),
    /// Test a table of expected decisions: exits with 0 if all are met, 1 if not, 2 if the test cannot run
    Test(table::TestArgs),
    /// Decide one call, and explain for each policy whether it permits, forbids or does not apply, and why
    Explain(Box<call_args::CallArgs>),
}

/// Runs the subcommand and returns its exit code: 2 if the configuration or the arguments are invalid.
#[must_use]
pub fn run(args: &PolicyArgs) -> ExitCode {
    match execute(args, &ProcessEnv, &mut io::stdout().lock()) {
        Ok(code) => code,
        Err(Failure::Invalid(reason)) => {
            drop(writeln!(io::stderr(), "{reason}"));
            ExitCode::from(2)
        }
        Err(Failure::Output(_closed)) => ExitCode::FAILURE,
    }
}

fn execute(args: &PolicyArgs, env: &dyn Env, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let settings = Settings::load(&args.config.path(env), env)
        .map_err(|diagnostics| Failure::Invalid(lines(&diagnostics)))?;
    match &args.command {
        Command::Show(args) => show::run(args, &settings, out),
        Command::Test(args) => table::run(args, &settings, out),
        Command::Explain(args) => explain::run(args, &settings, out),
    }
}
