//! `logkey policy show`: prints every policy that applies to a tenant.

use std::{process::ExitCode, sync::Arc};

use cedar_policy_formatter::policies_str_to_pretty;
use clap::Args;
use logkey_client::output::{Column, Note, Report, Table, terminal_width};
use serde_json::{Value, json};

use super::answer::{Answer, Invalid, lines};
use crate::{
    app::SystemClock,
    auth::CedarPolicy,
    cli::config_file,
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
        let text = CedarPolicy::schema();
        let report = Report::new(json!({ "schema": text }), Table::default().hidden());
        let report = report.notes([Note::Verbatim(text.to_owned())]);
        return Ok(Answer { report, code: ExitCode::SUCCESS });
    };
    let tenant = config_file::tenant(settings, id).map_err(Invalid)?;
    let policies = policies(settings, tenant)?;
    let mut texts: Vec<String> = policies.iter().map(|it| it.to_text(terminal_width())).collect();
    if tenant.suspended {
        texts.push("// The tenant is suspended: its calls are denied before any policy is evaluated.".into());
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
    let notes = [Note::Verbatim(texts.join("\n\n"))];
    Ok(Answer { report: Report::new(document, table.hidden()).notes(notes), code: ExitCode::SUCCESS })
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

impl ShownPolicy {
    /// The policy with its origin as a comment. Lines that are wider than the terminal are broken as Cedar's
    /// formatter does it.
    fn to_text(&self, width: Option<u16>) -> String {
        let Self { id, origin, text } = self;
        let from = match *origin {
            "OPERATOR" => "from the operator's files, for every tenant",
            "GRANT" => "from a grant in the configuration",
            _ => "built in, for every tenant",
        };
        let width = width.map_or(usize::MAX, usize::from);
        let is_too_wide = |text: &str| text.lines().any(|line| line.chars().count() > width);
        let heading = format!("// {id}: {from}");
        let heading = if is_too_wide(&heading) { format!("// {id}:\n// {from}") } else { heading };
        let config = cedar_policy_formatter::Config { line_width: width, indent_width: 2 };
        let formatted = is_too_wide(text).then(|| policies_str_to_pretty(text, &config).ok()).flatten();
        format!("{heading}\n{}", formatted.as_deref().unwrap_or(text).trim_end())
    }
}
