//! `logkey check`: reports every problem of a configuration that can be found without network access.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;

use super::config_file::ConfigFile;
use crate::{
    config::{Diagnostic, Env, ProcessEnv, Settings},
    domain::plural::plural,
};

/// The exit code if the configuration is invalid.
const INVALID: u8 = 2;

/// Report every problem in a configuration, without starting the service.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigFile,
}

/// Runs the subcommand. A summary goes to standard output; warnings and problems go to standard error.
#[must_use]
pub fn run(args: &CheckArgs) -> ExitCode {
    check(args, &ProcessEnv, &mut io::stdout().lock(), &mut io::stderr().lock()).unwrap_or(ExitCode::FAILURE)
}

fn check(args: &CheckArgs, env: &dyn Env, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    match Settings::load(&args.config.path, env) {
        Ok(settings) => {
            for warning in &settings.warnings {
                writeln!(err, "warning: {warning}")?;
            }
            writeln!(out, "{} is valid: {}", args.config.path.display(), summary(&settings))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(diagnostics) => {
            print(&diagnostics, err)?;
            Ok(ExitCode::from(INVALID))
        }
    }
}

/// Writes each diagnostic on one line, and then how many there are.
pub(crate) fn print(diagnostics: &[Diagnostic], err: &mut dyn Write) -> io::Result<()> {
    for diagnostic in diagnostics {
        writeln!(err, "{diagnostic}")?;
    }
    writeln!(err, "{}", plural(diagnostics.len(), "problem"))
}

fn summary(settings: &Settings) -> String {
    let accounts: usize = settings.tenants.iter().map(|tenant| tenant.accounts.len()).sum();
    let suspended = settings.tenants.iter().filter(|tenant| tenant.suspended).count();
    let mut parts = vec![
        plural(settings.tenants.len(), "tenant"),
        plural(accounts, "account"),
        plural(settings.auth.issuers.len(), "issuer"),
    ];
    if !settings.policy.files.is_empty() {
        parts.push(plural(settings.policy.files.len(), "policy file"));
    }
    if suspended > 0 {
        parts.push(plural(suspended, "suspended tenant"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests;
