//! `logkey policy explain`: decides one call and prints what each policy contributes.

use std::{io::Write, process::ExitCode};

use super::{
    call_args::{CallArgs, describe},
    failure::Failure,
};
use crate::{
    auth::{Applicability, CedarPolicy},
    config::Settings,
};

pub(super) fn run(args: &CallArgs, settings: &Settings, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let input = args.build(settings, None).map_err(Failure::Invalid)?;
    let Some(explained) = input.evaluate(CedarPolicy::explain) else {
        writeln!(
            out,
            "not permitted: the tenant has no grant in this account and Region, so no policy is evaluated"
        )?;
        return Ok(ExitCode::SUCCESS);
    };
    let (word, ids) = describe(Some(&explained.decision));
    writeln!(out, "{word}{}{}", if ids.is_empty() { "" } else { ": " }, ids.join(", "))?;
    if input.tenant.suspended {
        writeln!(
            out,
            "  (but the tenant is suspended: its calls are denied before any policy is evaluated)"
        )?;
    }
    if explained.policies.is_empty() {
        writeln!(
            out,
            "  the action does not fit the resource: AssociateKmsKey needs a key and a log group or query results; lists need neither"
        )?;
    }
    for explanation in explained.policies {
        let (verb, infinitive) =
            if explanation.forbids { ("forbids", "forbid") } else { ("permits", "permit") };
        match explanation.applies {
            Applicability::Yes => writeln!(out, "  {} {verb}", explanation.id)?,
            Applicability::No(part) => {
                writeln!(out, "  {} would {infinitive}, but this is false: {part}", explanation.id)?;
            }
            Applicability::Fails(reason) => {
                writeln!(out, "  {} cannot be evaluated, so the call is denied: {reason}", explanation.id)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
