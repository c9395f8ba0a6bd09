//! `logkey check`: everything about a configuration that can be told without a network.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use crate::config::{Diagnostic, Env, ProcessEnv, Settings};

/// The exit code of a configuration that cannot be used.
const UNUSABLE: u8 = 2;

/// Check a configuration without starting anything.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The configuration, as TOML
    #[arg(long, value_name = "FILE", default_value = "logkey.toml")]
    pub config: PathBuf,
}

/// Runs the verb: what was found goes to standard output, faults to standard error.
#[must_use]
pub fn run(args: &CheckArgs) -> ExitCode {
    check(args, &ProcessEnv, &mut io::stdout().lock(), &mut io::stderr().lock()).unwrap_or(ExitCode::FAILURE)
}

fn check(args: &CheckArgs, env: &dyn Env, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    match Settings::load(&args.config, env) {
        Ok(settings) => {
            for warning in &settings.warnings {
                writeln!(err, "warning: {warning}")?;
            }
            writeln!(out, "{} can be used: {}", args.config.display(), summary(&settings))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(diagnostics) => {
            print(&diagnostics, err)?;
            Ok(ExitCode::from(UNUSABLE))
        }
    }
}

/// Writes each fault on a line, and how many there are.
pub(crate) fn print(diagnostics: &[Diagnostic], err: &mut dyn Write) -> io::Result<()> {
    for diagnostic in diagnostics {
        writeln!(err, "{diagnostic}")?;
    }
    writeln!(err, "{}", plural(diagnostics.len(), "fault"))
}

fn summary(settings: &Settings) -> String {
    let accounts = settings.tenants.iter().map(|tenant| tenant.accounts.len()).sum();
    let suspended = settings.tenants.iter().filter(|tenant| tenant.suspended).count();
    let mut parts = vec![
        plural(settings.tenants.len(), "tenant"),
        plural(accounts, "account"),
        plural(settings.auth.issuers.len(), "issuer"),
    ];
    if !settings.policy.files.is_empty() {
        parts.push(plural(settings.policy.files.len(), "file of policies"));
    }
    if suspended > 0 {
        parts.push(format!("{suspended} suspended"));
    }
    parts.join(", ")
}

fn plural(number: usize, of: &str) -> String {
    match (number, of.split_once(' ')) {
        (1, _) => format!("1 {of}"),
        (_, Some((first, rest))) => format!("{number} {first}s {rest}"),
        (_, None) => format!("{number} {of}s"),
    }
}

#[cfg(test)]
mod tests;
