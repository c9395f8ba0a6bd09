//! `logkey policy explain`: one call, and what every policy has to say to it.

use std::{io::Write, process::ExitCode};

use super::{
    Failure,
    call_args::{CallArgs, describe},
};
use crate::{
    auth::{Applicability, CedarPolicy},
    config::Settings,
};

pub(super) fn run(args: &CallArgs, settings: &Settings, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let ready = args.build(settings, None).map_err(Failure::Unusable)?;
    let Some(explained) = ready.evaluate(CedarPolicy::explain) else {
        writeln!(
            out,
            "not permitted: the tenant has no grant in this account and Region, so that no policy is asked"
        )?;
        return Ok(ExitCode::SUCCESS);
    };
    let (word, ids) = describe(Some(&explained.decision));
    writeln!(out, "{word}{}{}", if ids.is_empty() { "" } else { ": " }, ids.join(", "))?;
    if ready.tenant.suspended {
        writeln!(out, "  (but the tenant is suspended, and refused before policy is asked)")?;
    }
    if explained.policies.is_empty() {
        writeln!(
            out,
            "  the action and what it is about do not go together: AssociateKmsKey needs a key and a log group or query results, lists need neither"
        )?;
    }
    for explanation in explained.policies {
        let (does, would) = if explanation.forbids { ("forbids", "forbid") } else { ("permits", "permit") };
        match explanation.applies {
            Applicability::Yes => writeln!(out, "  {} {does}", explanation.id)?,
            Applicability::No(part) => {
                writeln!(out, "  {} would {would}, but this is false: {part}", explanation.id)?;
            }
            Applicability::Fails(reason) => {
                writeln!(out, "  {} cannot be evaluated, which denies: {reason}", explanation.id)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
