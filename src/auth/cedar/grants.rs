//! What the configuration grants a tenant, as Cedar policies: small, and as readable as if an operator
//! had written them.

use std::fmt::Write;

use super::request::{Kind, WHOLE_LOG};
use crate::domain::{
    pattern::Pattern,
    principal::Scope,
    tenant::{AccountGrant, Tenant},
};

/// What every id of these policies begins with; no other policy's may.
pub(super) const PREFIX: &str = "tenant/";

const KINDS: [Kind; 3] = [Kind::LogGroup, Kind::QueryResults, Kind::Place];

/// One policy of a tenant's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantPolicy {
    /// Such as `tenant/payments/111122223333/log-groups`.
    pub id: String,
    /// In Cedar.
    pub text: String,
}

/// Everything that the tenant was granted. A grant that opens nothing makes no policy.
pub(super) fn policies(tenant: &Tenant) -> Vec<GrantPolicy> {
    let of_account = |grant| KINDS.into_iter().filter_map(move |kind| of_kind(tenant, grant, kind));
    tenant.accounts.iter().flat_map(|grant| of_account(grant)).collect()
}

/// By what the tenant reads the audit log: its own events, and those of all where the token has the
/// scope for that.
pub(super) fn of_audit_log(tenant: &Tenant) -> Vec<GrantPolicy> {
    let of = |what: &str, resource: &str, condition: &str| {
        let id = format!("{PREFIX}{}/{what}", tenant.id);
        let text = format!(
            "@id(\"{id}\")\n\
             permit (\n\
             \x20   principal in LogKey::Tenant::\"{}\",\n\
             \x20   action in [LogKey::Action::\"Audit\"],\n\
             \x20   resource == LogKey::AuditLog::\"{resource}\"\n\
             ){condition};\n",
            tenant.id
        );
        GrantPolicy { id, text }
    };
    let admin = format!("\nwhen {{ principal.scopes.contains(\"{}\") }}", Scope::Admin);
    vec![of("audit", tenant.id.as_str(), ""), of("audit-of-all", WHOLE_LOG, &admin)]
}

/// What the tenant was granted in this account for this kind of resource.
pub(super) fn of_kind(tenant: &Tenant, grant: &AccountGrant, kind: Kind) -> Option<GrantPolicy> {
    if grant.regions.is_empty() {
        return None;
    }
    match kind {
        Kind::LogGroup => {
            let names = (!grant.log_groups.is_empty()).then_some(&*grant.log_groups)?;
            Some(permit(tenant, grant, "log-groups", "LogGroup", Some(names)))
        }
        Kind::QueryResults => {
            grant.query_results.then(|| permit(tenant, grant, "query-results", "QueryResults", None))
        }
        Kind::Place => Some(permit(tenant, grant, "places", "Place", None)),
        Kind::AuditLog => None,
    }
}

fn permit(
    tenant: &Tenant,
    grant: &AccountGrant,
    what: &str,
    resource: &str,
    names: Option<&[Pattern]>,
) -> GrantPolicy {
    let (tenant, account) = (&tenant.id, grant.account);
    let id = format!("{PREFIX}{tenant}/{account}/{what}");
    let regions: Vec<String> = grant.regions.iter().map(|region| format!("\"{region}\"")).collect();
    let regions = regions.join(", ");
    let mut text = format!(
        "@id(\"{id}\")\n\
         permit (\n\
         \x20   principal in LogKey::Tenant::\"{tenant}\",\n\
         \x20   action in [LogKey::Action::\"Read\", LogKey::Action::\"Change\"],\n\
         \x20   resource is LogKey::{resource} in LogKey::Account::\"{account}\"\n\
         )\n\
         when {{ [{regions}].contains(resource.region) }}\n"
    );
    if let Some(names) = names {
        let _infallible = writeln!(text, "when {{ {} }}", any("resource.name", names));
    }
    let keys = any("context.key.arn", &grant.kms_keys);
    let keys = if keys.is_empty() {
        "unless { context has key }".to_owned()
    } else {
        format!("when {{ if context has key then {keys} else true }}")
    };
    let _infallible = writeln!(text, "{keys};");
    GrantPolicy { id, text }
}

/// Patterns hold no quotes, no backslashes and no sign that `like` takes otherwise than [`Pattern`].
fn any(value: &str, patterns: &[Pattern]) -> String {
    let each: Vec<String> = patterns.iter().map(|pattern| format!("{value} like \"{pattern}\"")).collect();
    each.join(" || ")
}
