//! `logkey policy`: what is in force for a tenant, why a call is judged as it is, and whether policies
//! still decide as an operator expects.

mod call_args;
mod explain;
mod show;
mod table;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Subcommand};

use crate::config::{Env, ProcessEnv, Settings};

/// What `logkey policy` is asked.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    verb: Verb,
    /// The service's configuration
    #[arg(long, value_name = "FILE", default_value = "logkey.toml", global = true)]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print every policy that is in force for a tenant, or the schema that policies are held against
    Show(show::ShowArgs),
    /// Run a table of expected decisions: 0 if all are met, 1 if not, 2 if it cannot be run
    Test(table::TestArgs),
    /// Judge one call, and say of every policy whether it permits, forbids or does not apply, and why
    Explain(Box<call_args::CallArgs>),
}

/// Why a verb could not do what it should.
#[derive(Debug)]
enum Failure {
    /// What it was given cannot be used: told line by line.
    Unusable(String),
    /// Its answer could not be written.
    Output(io::Error),
}

/// Does what was asked.
#[must_use]
pub fn run(args: &PolicyArgs) -> ExitCode {
    match answer(args, &ProcessEnv, &mut io::stdout().lock()) {
        Ok(code) => code,
        Err(Failure::Unusable(reason)) => {
            drop(writeln!(io::stderr(), "{reason}"));
            ExitCode::from(2)
        }
        Err(Failure::Output(_closed)) => ExitCode::FAILURE,
    }
}

fn answer(args: &PolicyArgs, env: &dyn Env, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let settings =
        Settings::load(&args.config, env).map_err(|diagnostics| Failure::Unusable(lines(&diagnostics)))?;
    match &args.verb {
        Verb::Show(args) => show::run(args, &settings, out),
        Verb::Test(args) => table::run(args, &settings, out),
        Verb::Explain(args) => explain::run(args, &settings, out),
    }
}

fn lines<F: ToString>(diagnostics: &[F]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

// === impl Failure ===

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
