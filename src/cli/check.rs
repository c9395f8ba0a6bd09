//! `logkey check`: reports every problem of a configuration that can be found without network access.

use std::process::ExitCode;

use clap::Args;
use logkey_client::output::{Column, Format, OutputArgs, Report, Table, print};
use serde_json::{Value, json};

use super::{config_file::ConfigFile, runtime::exit_code};
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
    #[command(flatten)]
    output: OutputArgs,
}

/// What the check found.
struct Checked {
    report: Report,
    /// Warnings and problems for people, one on each line.
    messages: Vec<String>,
    is_valid: bool,
}

/// Runs the subcommand. A summary goes to standard output; warnings and problems go to standard error, except
/// that a document contains them.
#[must_use]
pub fn run(args: &CheckArgs) -> ExitCode {
    let checked = check(args, &ProcessEnv);
    match args.output.format() {
        // Only warnings are left out.
        None if checked.is_valid => {}
        Some(Format::Table | Format::Wide | Format::Name) | None => {
            checked.messages.iter().for_each(|line| anstream::eprintln!("{line}"));
        }
        Some(Format::Json | Format::Yaml | Format::Csv) => {}
    }
    let code = exit_code(print(&checked.report, &args.output));
    if checked.is_valid { code } else { ExitCode::from(INVALID) }
}

fn check(args: &CheckArgs, env: &dyn Env) -> Checked {
    let path = args.config.path(env);
    let file = path.display().to_string();
    let mut table =
        Table::new(&[Column::new("severity"), Column::new("location"), Column::new("message")], "");
    let mut documents = |severity: &str, diagnostics: &[Diagnostic]| -> Vec<Value> {
        let each = diagnostics.iter().map(|Diagnostic { location, message }| {
            table.push([severity.to_owned(), location.to_string(), message.clone()]);
            json!({ "location": location.to_string(), "message": message })
        });
        each.collect()
    };
    match Settings::load(&path, env) {
        Ok(settings) => {
            let messages = settings.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
            let warnings = documents("warning", &settings.warnings);
            let document = json!({
                "file": file, "valid": true, "problems": [], "warnings": warnings,
                "tenants": settings.tenants.len(),
                "accounts": accounts(&settings),
                "issuers": settings.auth.issuers.iter().map(issuer_document).collect::<Vec<_>>(),
                "policyFiles": settings.policy.files.len(),
                "suspendedTenants": suspended(&settings),
            });
            let note = format!("{file} is valid: {}", summary(&settings));
            let rights = settings.auth.issuers.iter().map(|issuer| issuer_rights(issuer, &settings));
            let report = Report::new(document, table.hidden()).notes([note].into_iter().chain(rights));
            Checked { report, messages, is_valid: true }
        }
        Err(diagnostics) => {
            let mut messages: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            messages.push(plural(diagnostics.len(), "problem"));
            let problems = documents("problem", &diagnostics);
            let document = json!({ "file": file, "valid": false, "problems": problems, "warnings": [] });
            Checked { report: Report::new(document, table.hidden()), messages, is_valid: false }
        }
    }
}

fn accounts(settings: &Settings) -> usize {
    settings.tenants.iter().map(|tenant| tenant.accounts.len()).sum()
}

fn suspended(settings: &Settings) -> usize {
    settings.tenants.iter().filter(|tenant| tenant.suspended).count()
}

fn summary(settings: &Settings) -> String {
    let suspended = suspended(settings);
    let mut parts = vec![
        plural(settings.tenants.len(), "tenant"),
        plural(accounts(settings), "account"),
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

fn issuer_document(issuer: &IssuerConfig) -> Value {
    json!({ "issuer": *issuer.issuer, "mayGrantAdmin": issuer.may_grant_admin })
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
