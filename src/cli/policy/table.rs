//! `logkey policy test`: compares the decisions of the policies with a table of expected ones.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Args;
use logkey_client::output::{self, Column, Report};
use serde::Deserialize;
use serde_json::json;

use super::{
    answer::{Answer, Invalid},
    call_args::{CallArgs, describe},
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

pub(super) fn run(args: &TestArgs, settings: &Settings) -> Result<Answer, Invalid> {
    let invalid = |reason: String| Invalid(format!("{}: {reason}", args.file.display()));
    let text = fs::read_to_string(&args.file).map_err(|reason| invalid(reason.to_string()))?;
    let cases: Table = toml::from_str(&text).map_err(|reason| invalid(reason.to_string()))?;
    let columns = [Column::new("case"), Column::new("met"), Column::new("decision"), Column::new("policies")];
    let mut table = output::Table::new(&columns, "");
    let (mut lines, mut documents, mut passed) = (Vec::new(), Vec::new(), 0_usize);
    for case in &cases.cases {
        let input = case.call.build(settings, cases.at.as_deref());
        let input = input.map_err(|reason| invalid(format!("{}: {reason}", case.name)))?;
        let decision = input.evaluate(Authorize::decide);
        let (word, ids) = describe(decision.as_ref());
        let met = case.expect.is_met(word) && (case.policies.is_empty() || case.policies == ids);
        passed += usize::from(met);
        lines.push(if met {
            format!("ok      {}", case.name)
        } else {
            format!("FAILED  {}: {word} {}", case.name, ids.join(", ")).trim_end().to_owned()
        });
        documents.push(json!({ "name": case.name, "met": met, "decision": word, "decidedBy": ids }));
        table.push([case.name.clone(), met.to_string(), word.to_owned(), ids.join(" ")]);
    }
    let total = cases.cases.len();
    lines.push(format!("{passed} of {total} as expected"));
    let document = json!({ "cases": documents, "passed": passed, "failed": total - passed });
    let code = if passed == total { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    Ok(Answer { report: Report::new(document, table.hidden()).notes(lines), code })
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
