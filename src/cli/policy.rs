//! `logkey policy`: shows a tenant's policies, explains one decision, and tests whether the policies decide
//! as an operator expects.

mod answer;
mod call_args;
mod explain;
mod show;
mod table;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use logkey_client::output::{OutputArgs, print};

use self::answer::{Answer, Invalid, lines};
use super::{config_file::ConfigFile, runtime::exit_code};
use crate::config::{Env, ProcessEnv, Settings};

/// The arguments of `logkey policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    output: OutputArgs,
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
    let answer = match execute(args, &ProcessEnv) {
        Ok(answer) => answer,
        Err(Invalid(reason)) => {
            anstream::eprintln!("{reason}");
            return ExitCode::from(2);
        }
    };
    let code = exit_code(print(&answer.report, &args.output));
    if code == ExitCode::SUCCESS { answer.code } else { code }
}

fn execute(args: &PolicyArgs, env: &dyn Env) -> Result<Answer, Invalid> {
    let settings =
        Settings::load(&args.config.path(env), env).map_err(|diagnostics| Invalid(lines(&diagnostics)))?;
    match &args.command {
        Command::Show(args) => show::run(args, &settings),
        Command::Test(args) => table::run(args, &settings),
        Command::Explain(args) => explain::run(args, &settings),
    }
}
