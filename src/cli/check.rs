//! `logkey check`: reports every problem of a configuration that can be found without network access.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Args;

use super::config_file::ConfigFile;
use crate::{
    auth::IssuerConfig,
    config::{Diagnostic, Env, ProcessEnv, Settings},
    domain::plural::plural,
};

/// The largest number of tenants of one issuer that the output names.
const LISTED_TENANTS: usize = 8;
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
    let path = args.config.path(env);
    match Settings::load(&path, env) {
        Ok(settings) => {
            for warning in &settings.warnings {
                writeln!(err, "warning: {warning}")?;
            }
            writeln!(out, "{} is valid: {}", path.display(), summary(&settings))?;
            for issuer in &settings.auth.issuers {
                writeln!(out, "{}", issuer_rights(issuer, &settings))?;
            }
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

/// What the tokens of an issuer can prove: their tenants, and the scopes that count.
fn issuer_rights(issuer: &IssuerConfig, settings: &Settings) -> String {
    let mut tenants: Vec<&str> = (settings.tenants.iter())
        .filter(|tenant| tenant.issuers.iter().any(|trusted| **trusted == *issuer.issuer))
        .map(|tenant| tenant.id.as_str())
        .collect();
    tenants.sort_unstable();
    let count = plural(tenants.len(), "tenant");
    let tenants = if (1..=LISTED_TENANTS).contains(&tenants.len()) {
        format!("{count} ({})", tenants.join(", "))
    } else {
        count
    };
    let scopes = if issuer.may_grant_admin {
        "any scope, also logkey:admin, which reads the data of all tenants"
    } else {
        "any scope but logkey:admin"
    };
    format!("issuer {} may grant: {tenants}; {scopes}", issuer.issuer)
}

#[cfg(test)]
mod tests;
