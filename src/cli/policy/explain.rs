//! `logkey policy explain`: decides one call and prints what each policy contributes.

use std::process::ExitCode;

use logkey_client::output::{Column, Report, Table};
use serde_json::{Value, json};

use super::{
    answer::{Answer, Invalid},
    call_args::{CallArgs, describe},
};
use crate::{
    auth::{Applicability, CedarPolicy, PolicyExplanation},
    config::Settings,
};

pub(super) fn run(args: &CallArgs, settings: &Settings) -> Result<Answer, Invalid> {
    let input = args.build(settings, None).map_err(Invalid)?;
    let Some(explained) = input.evaluate(CedarPolicy::explain) else {
        let reason = "the tenant has no grant in this account and Region, so no policy is evaluated";
        return Ok(answer("not permitted", &[], vec![format!("not permitted: {reason}")], &[]));
    };
    let (word, ids) = describe(Some(&explained.decision));
    let mut lines = vec![format!("{word}{}{}", if ids.is_empty() { "" } else { ": " }, ids.join(", "))];
    if input.tenant.suspended {
        lines.push(
            "  (but the tenant is suspended: its calls are denied before any policy is evaluated)".into(),
        );
    }
    if explained.policies.is_empty() {
        lines.push(
            "  the action does not fit the resource: AssociateKmsKey needs a key and a log group or query results; lists need neither"
                .into(),
        );
    }
    lines.extend(explained.policies.iter().map(line));
    Ok(answer(word, &ids, lines, &explained.policies))
}

fn answer(decision: &str, ids: &[&str], lines: Vec<String>, policies: &[PolicyExplanation]) -> Answer {
    let columns =
        [Column::new("policy"), Column::new("effect"), Column::new("applies"), Column::new("because")];
    let mut table = Table::new(&columns, "");
    let mut documents: Vec<Value> = Vec::new();
    for policy in policies {
        let effect = if policy.forbids { "FORBID" } else { "PERMIT" };
        let (applies, because) = match &policy.applies {
            Applicability::Yes => ("YES", ""),
            Applicability::No(part) => ("NO", part.as_str()),
            Applicability::Fails(reason) => ("FAILS", reason.as_str()),
        };
        documents.push(json!({ "id": policy.id, "effect": effect, "applies": applies, "because": because }));
        table.push([policy.id.clone(), effect.to_owned(), applies.to_owned(), because.to_owned()]);
    }
    let document = json!({ "decision": decision, "decidedBy": ids, "policies": documents });
    Answer { report: Report::new(document, table.hidden()).notes(lines), code: ExitCode::SUCCESS }
}

fn line(policy: &PolicyExplanation) -> String {
    let PolicyExplanation { id, forbids, applies } = policy;
    let (verb, infinitive) = if *forbids { ("forbids", "forbid") } else { ("permits", "permit") };
    match applies {
        Applicability::Yes => format!("  {id} {verb}"),
        Applicability::No(part) => format!("  {id} would {infinitive}, but this is false: {part}"),
        Applicability::Fails(reason) => {
            format!("  {id} cannot be evaluated, so the call is denied: {reason}")
        }
    }
}
