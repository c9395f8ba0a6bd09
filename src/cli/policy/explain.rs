//! `logkey policy explain`: one call, and what every policy has to say to it.

use std::{io::Write, process::ExitCode};

use super::{
    Failure,
    asked::{Asked, in_words},
};
use crate::{
    auth::{Applies, CedarPolicy},
    config::Settings,
};

pub(super) fn run(asked: &Asked, settings: &Settings, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let ready = asked.ready(settings, None).map_err(Failure::Unusable)?;
    let Some(explained) = ready.judge(CedarPolicy::explain) else {
        writeln!(
            out,
            "not permitted: the tenant has no grant in this account and Region, so that no policy is asked"
        )?;
        return Ok(ExitCode::SUCCESS);
    };
    let (word, ids) = in_words(Some(&explained.decision));
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
    for opinion in explained.policies {
        let (does, would) = if opinion.forbids { ("forbids", "forbid") } else { ("permits", "permit") };
        match opinion.applies {
            Applies::Yes => writeln!(out, "  {} {does}", opinion.id)?,
            Applies::No(part) => writeln!(out, "  {} would {would}, but this is false: {part}", opinion.id)?,
            Applies::Fails(why) => {
                writeln!(out, "  {} cannot be evaluated, which denies: {why}", opinion.id)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
