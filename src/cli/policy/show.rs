//! `logkey policy show`: every policy that is in force for a tenant.

use std::{io::Write, process::ExitCode, sync::Arc};

use clap::Args;

use super::Failure;
use crate::{app::SystemClock, auth::CedarPolicy, config::Settings, domain::tenant::TenantId};

/// Whose policies.
#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// The tenant
    #[arg(required_unless_present = "schema")]
    tenant: Option<TenantId>,
    /// Print the schema that policies are held against
    #[arg(long)]
    schema: bool,
}

pub(super) fn run(args: &ShowArgs, settings: &Settings, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let Some(id) = args.tenant.as_ref().filter(|_tenant| !args.schema) else {
        out.write_all(CedarPolicy::schema().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    let Some(tenant) = settings.tenants.find(id) else {
        return Err(Failure::Unusable(format!("there is no tenant {id}")));
    };
    let tenants = Arc::new(settings.tenants.clone());
    let policy = CedarPolicy::load(tenants, &settings.policy.files, Arc::new(SystemClock))
        .map_err(|diagnostics| Failure::Unusable(super::lines(&diagnostics)))?;
    for (id, text) in policy.policy_bundle() {
        writeln!(out, "// {id}: an operator's, for every tenant\n{}\n", text.trim_end())?;
    }
    for grant in CedarPolicy::grants_of(tenant) {
        writeln!(out, "// {}: granted in the configuration\n{}", grant.id, grant.text)?;
    }
    for own in CedarPolicy::global_policies(tenant) {
        writeln!(out, "// {}: every tenant's\n{}", own.id, own.text)?;
    }
    if tenant.suspended {
        writeln!(out, "// The tenant is suspended: every call of its is refused before policy is asked.")?;
    }
    Ok(ExitCode::SUCCESS)
}
