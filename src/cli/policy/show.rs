//! `logkey policy show`: prints every policy that applies to a tenant.

use std::{io::Write, process::ExitCode, sync::Arc};

use clap::Args;

use super::failure::Failure;
use crate::{app::SystemClock, auth::CedarPolicy, config::Settings, domain::tenant::TenantId};

/// The arguments of `logkey policy show`.
#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// The tenant
    #[arg(required_unless_present = "schema")]
    tenant: Option<TenantId>,
    /// Print the schema of the policies
    #[arg(long)]
    schema: bool,
}

pub(super) fn run(args: &ShowArgs, settings: &Settings, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let Some(id) = args.tenant.as_ref().filter(|_tenant| !args.schema) else {
        out.write_all(CedarPolicy::schema().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    let Some(tenant) = settings.tenants.find(id) else {
        return Err(Failure::Invalid(format!("there is no tenant {id}")));
    };
    let tenants = Arc::new(settings.tenants.clone());
    let policy = CedarPolicy::load(tenants, &settings.policy.files, Arc::new(SystemClock))
        .map_err(|diagnostics| Failure::Invalid(super::failure::lines(&diagnostics)))?;
    for (id, text) in policy.operator_policies() {
        writeln!(out, "// {id}: from the operator's files, for every tenant\n{}\n", text.trim_end())?;
    }
    for grant in CedarPolicy::grants_of(tenant) {
        writeln!(out, "// {}: from a grant in the configuration\n{}", grant.id, grant.text)?;
    }
    for built_in in CedarPolicy::global_policies(tenant) {
        writeln!(out, "// {}: built in, for every tenant\n{}", built_in.id, built_in.text)?;
    }
    if tenant.suspended {
        writeln!(out, "// The tenant is suspended: its calls are denied before any policy is evaluated.")?;
    }
    Ok(ExitCode::SUCCESS)
}
