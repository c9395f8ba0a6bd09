//! Generates Cedar policies from the grants in the configuration. They are small and readable, because
//! `logkey policy` shows them to operators.

use std::fmt::Write;

use super::resource_kind::{ResourceKind, WHOLE_LOG};
use crate::domain::{
    aws::AccountId,
    pattern::Pattern,
    principal::Scope,
    tenant::{AccountGrant, Tenant},
};

/// The prefix of the ids of generated policies. Operators' policies must not use it.
pub(super) const PREFIX: &str = "tenant/";

const KINDS: [ResourceKind; 4] =
    [ResourceKind::LogGroup, ResourceKind::QueryResults, ResourceKind::Location, ResourceKind::Account];

/// A generated policy of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantPolicy {
    /// The id, such as `tenant/payments/111122223333/log-groups`.
    pub id: String,
    /// The policy in Cedar.
    pub text: String,
}

/// The policies of all grants of the tenant. A grant that permits nothing has no policy.
pub(super) fn policies(tenant: &Tenant) -> Vec<GrantPolicy> {
    let of_account = |grant| KINDS.into_iter().filter_map(move |kind| of_kind(tenant, grant, kind));
    tenant.accounts.iter().flat_map(|grant| of_account(grant)).collect()
}

/// The policies that every tenant has, whatever its grants.
pub(super) fn global_policies(tenant: &Tenant) -> Vec<GrantPolicy> {
    [ResourceKind::AuditLog, ResourceKind::Tenant]
        .into_iter()
        .flat_map(|kind| of_tenant(tenant, kind))
        .collect()
}

/// The policies for this kind of resource that do not depend on the tenant's grants.
pub(super) fn of_tenant(tenant: &Tenant, kind: ResourceKind) -> Vec<GrantPolicy> {
    match kind {
        ResourceKind::AuditLog => of_audit_log(tenant),
        ResourceKind::Tenant => vec![whoami_policy(tenant)],
        ResourceKind::LogGroup
        | ResourceKind::QueryResults
        | ResourceKind::Location
        | ResourceKind::Account => Vec::new(),
    }
}

/// Permits a caller to read what the service knows about it (`GetCaller`).
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

/// Permits the calls that help to set up the tenant's role in the account.
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

/// Permits the tenant to read its own audit events, and those of all tenants if the token has the admin
/// scope.
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

/// The policy of the grant in this account for this kind of resource; none if it permits nothing.
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
        ResourceKind::Location => Some(permit_text(tenant, grant, "places", "Place", None)),
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

/// One `like` for each pattern, joined by `||`. A [`Pattern`] needs no escaping: it contains no quotes, no
/// backslashes, and no character that `like` interprets differently.
fn like_any(value: &str, patterns: &[Pattern]) -> String {
    let each: Vec<String> = patterns.iter().map(|pattern| format!("{value} like \"{pattern}\"")).collect();
    each.join(" || ")
}
