//! `logkey policy show`: prints every policy that applies to a tenant.

use std::{process::ExitCode, sync::Arc};

use clap::Args;
use logkey_client::output::{Column, Report, Table};
use serde_json::{Value, json};

use super::answer::{Answer, Invalid, lines};
use crate::{
    app::SystemClock,
    auth::CedarPolicy,
    config::Settings,
    domain::tenant::{Tenant, TenantId},
};

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

/// A policy and where it comes from.
struct ShownPolicy {
    id: String,
    origin: &'static str,
    text: String,
}

pub(super) fn run(args: &ShowArgs, settings: &Settings) -> Result<Answer, Invalid> {
    let Some(id) = args.tenant.as_ref().filter(|_tenant| !args.schema) else {
        let text = CedarPolicy::schema().to_owned();
        let report = Report::new(json!({ "schema": text }), Table::default());
        return Ok(Answer { text, report, code: ExitCode::SUCCESS });
    };
    let Some(tenant) = settings.tenants.find(id) else {
        return Err(Invalid(format!("there is no tenant {id}")));
    };
    let policies = policies(settings, tenant)?;
    let mut text: String = policies.iter().map(ToString::to_string).collect();
    if tenant.suspended {
        text.push_str("// The tenant is suspended: its calls are denied before any policy is evaluated.\n");
    }
    let columns = [Column::new("policy"), Column::new("origin"), Column::new("text")];
    let mut table = Table::new(&columns, "");
    let documents: Vec<Value> = policies
        .into_iter()
        .map(|ShownPolicy { id, origin, text }| {
            let document = json!({ "id": id, "origin": origin, "text": text });
            table.push([id, origin.to_owned(), text]);
            document
        })
        .collect();
    let document = json!({ "tenantId": id.as_str(), "suspended": tenant.suspended, "policies": documents });
    Ok(Answer { text, report: Report::new(document, table), code: ExitCode::SUCCESS })
}

fn policies(settings: &Settings, tenant: &Tenant) -> Result<Vec<ShownPolicy>, Invalid> {
    let tenants = Arc::new(settings.tenants.clone());
    let policy = CedarPolicy::load(tenants, &settings.policy.files, Arc::new(SystemClock))
        .map_err(|diagnostics| Invalid(lines(&diagnostics)))?;
    let of_operator = policy.operator_policies().map(|(id, text)| ShownPolicy {
        id: id.to_owned(),
        origin: "OPERATOR",
        text: text.trim_end().to_owned(),
    });
    let granted = CedarPolicy::grants_of(tenant).into_iter().map(|it| ShownPolicy {
        id: it.id,
        origin: "GRANT",
        text: it.text,
    });
    let built_in = CedarPolicy::global_policies(tenant).into_iter().map(|it| ShownPolicy {
        id: it.id,
        origin: "BUILT_IN",
        text: it.text,
    });
    Ok(of_operator.chain(granted).chain(built_in).collect())
}

// === impl ShownPolicy ===

impl std::fmt::Display for ShownPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, origin, text } = self;
        let from = match *origin {
            "OPERATOR" => "from the operator's files, for every tenant",
            "GRANT" => "from a grant in the configuration",
            _ => "built in, for every tenant",
        };
        writeln!(f, "// {id}: {from}\n{text}\n")
    }
}
