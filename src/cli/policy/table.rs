//! `logkey policy test`: compares the decisions of the policies with a table of expected ones.

use std::{fs, io::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use serde::Deserialize;

use super::{
    call_args::{CallArgs, describe},
    failure::Failure,
};
use crate::{config::Settings, ports::Authorize};

/// The arguments of `logkey policy test`.
#[derive(Args, Debug)]
pub(super) struct TestArgs {
    /// The table, in TOML: see docs/policies.md
    file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The time of each call that has no `at` itself.
    at: Option<String>,
    #[serde(rename = "case")]
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    call: CallArgs,
    expect: Expected,
    /// The ids of the policies that must decide; empty accepts any.
    #[serde(default)]
    policies: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Expected {
    #[serde(rename = "allow")]
    Allow,
    /// Any decision except allow.
    #[serde(rename = "deny")]
    Deny,
    #[serde(rename = "forbid")]
    Forbid,
    #[serde(rename = "not permitted")]
    NotPermitted,
}

pub(super) fn run(args: &TestArgs, settings: &Settings, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let invalid = |reason: String| Failure::Invalid(format!("{}: {reason}", args.file.display()));
    let text = fs::read_to_string(&args.file).map_err(|reason| invalid(reason.to_string()))?;
    let table: Table = toml::from_str(&text).map_err(|reason| invalid(reason.to_string()))?;
    let mut failed = 0;
    for case in &table.cases {
        let input = case.call.build(settings, table.at.as_deref());
        let input = input.map_err(|reason| invalid(format!("{}: {reason}", case.name)))?;
        let decision = input.evaluate(Authorize::decide);
        let (word, ids) = describe(decision.as_ref());
        if case.expect.is_met(word) && (case.policies.is_empty() || case.policies == ids) {
            writeln!(out, "ok      {}", case.name)?;
        } else {
            failed += 1;
            writeln!(out, "FAILED  {}: {word} {}", case.name, ids.join(", "))?;
        }
    }
    writeln!(out, "{} of {} as expected", table.cases.len() - failed, table.cases.len())?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

// === impl Expected ===

impl Expected {
    fn is_met(self, word: &str) -> bool {
        match self {
            Self::Allow => word == "allow",
            Self::Deny => word != "allow",
            Self::Forbid => word == "forbid",
            Self::NotPermitted => word == "not permitted",
        }
    }
}
