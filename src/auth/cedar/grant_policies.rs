//! What the configuration grants a tenant, as Cedar policies: small, and as readable as if an operator
//! had written them.

use std::fmt::Write;

use super::request::{ResourceKind, WHOLE_LOG};
use crate::domain::{
    aws::AccountId,
    pattern::Pattern,
    principal::Scope,
    tenant::{AccountGrant, Tenant},
};

/// What every id of these policies begins with; no other policy's may.
pub(super) const PREFIX: &str = "tenant/";

const KINDS: [ResourceKind; 4] =
    [ResourceKind::LogGroup, ResourceKind::QueryResults, ResourceKind::Position, ResourceKind::Account];

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

/// What every tenant has, whatever it was granted.
pub(super) fn global_policies(tenant: &Tenant) -> Vec<GrantPolicy> {
    [ResourceKind::AuditLog, ResourceKind::Tenant]
        .into_iter()
        .flat_map(|kind| of_tenant(tenant, kind))
        .collect()
}

/// What the tenant has as such, for this kind of resource.
pub(super) fn of_tenant(tenant: &Tenant, kind: ResourceKind) -> Vec<GrantPolicy> {
    match kind {
        ResourceKind::AuditLog => of_audit_log(tenant),
        ResourceKind::Tenant => vec![whoami_policy(tenant)],
        ResourceKind::LogGroup
        | ResourceKind::QueryResults
        | ResourceKind::Position
        | ResourceKind::Account => Vec::new(),
    }
}

/// By what a caller is told of itself.
fn whoami_policy(tenant: &Tenant) -> GrantPolicy {
    let tenant = &tenant.id;
    let id = format!("{PREFIX}{tenant}/itself");
    let text = format!(
        "@id(\"{id}\")\n\
         permit (\n\
         \x20   principal in LogKey::Tenant::\"{tenant}\",\n\
         \x20   action in [LogKey::Action::\"Self\"],\n\
         \x20   resource == LogKey::Tenant::\"{tenant}\"\n\
         );\n"
    );
    GrantPolicy { id, text }
}

/// By what whoever installs the role is helped.
fn of_account(tenant: &Tenant, account: AccountId) -> GrantPolicy {
    let tenant = &tenant.id;
    let id = format!("{PREFIX}{tenant}/{account}/setup");
    let text = format!(
        "@id(\"{id}\")\n\
         permit (\n\
         \x20   principal in LogKey::Tenant::\"{tenant}\",\n\
         \x20   action in [LogKey::Action::\"Setup\"],\n\
         \x20   resource == LogKey::Account::\"{account}\"\n\
         );\n"
    );
    GrantPolicy { id, text }
}

/// By what the tenant reads the audit log: its own events, and those of all where the token has the
/// scope for that.
fn of_audit_log(tenant: &Tenant) -> Vec<GrantPolicy> {
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
pub(super) fn of_kind(tenant: &Tenant, grant: &AccountGrant, kind: ResourceKind) -> Option<GrantPolicy> {
    if grant.regions.is_empty() {
        return None;
    }
    match kind {
        ResourceKind::LogGroup => {
            let names = (!grant.log_groups.is_empty()).then_some(&*grant.log_groups)?;
            Some(permit_text(tenant, grant, "log-groups", "LogGroup", Some(names)))
        }
        ResourceKind::QueryResults => {
            grant.query_results.then(|| permit_text(tenant, grant, "query-results", "QueryResults", None))
        }
        ResourceKind::Position => Some(permit_text(tenant, grant, "places", "Place", None)),
        ResourceKind::Account => Some(of_account(tenant, grant.account)),
        ResourceKind::AuditLog | ResourceKind::Tenant => None,
    }
}

fn permit_text(
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
    let second = if resource == "Place" { "Setup" } else { "Change" };
    let mut text = format!(
        "@id(\"{id}\")\n\
         permit (\n\
         \x20   principal in LogKey::Tenant::\"{tenant}\",\n\
         \x20   action in [LogKey::Action::\"Read\", LogKey::Action::\"{second}\"],\n\
         \x20   resource is LogKey::{resource} in LogKey::Account::\"{account}\"\n\
         )\n\
         when {{ [{regions}].contains(resource.region) }}\n"
    );
    if let Some(names) = names {
        let _infallible = writeln!(text, "when {{ {} }}", like_any("resource.name", names));
    }
    let keys = like_any("context.key.arn", &grant.kms_keys);
    let keys = if keys.is_empty() {
        "unless { context has key }".to_owned()
    } else {
        format!("when {{ if context has key then {keys} else true }}")
    };
    let _infallible = writeln!(text, "{keys};");
    GrantPolicy { id, text }
}

/// Patterns hold no quotes, no backslashes and no sign that `like` takes otherwise than [`Pattern`].
fn like_any(value: &str, patterns: &[Pattern]) -> String {
    let each: Vec<String> = patterns.iter().map(|pattern| format!("{value} like \"{pattern}\"")).collect();
    each.join(" || ")
}
