//! Generates Cedar policies from the grants in the configuration. They are small and readable, because
//! `logkey policy` shows them to operators.

use std::fmt::Write;

use super::resource_kind::{ALL_TENANTS, ResourceKind};
use crate::domain::{
    aws::AccountId,
    call::Action,
    fleet_kind::FleetKind,
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
        .chain(FleetKind::ALL.map(ResourceKind::Fleet))
        .flat_map(|kind| of_tenant(tenant, kind))
        .collect()
}

/// The policies for this kind of resource that do not depend on the tenant's grants.
pub(super) fn of_tenant(tenant: &Tenant, kind: ResourceKind) -> Vec<GrantPolicy> {
    match kind {
        ResourceKind::AuditLog => of_audit_log(tenant),
        ResourceKind::Tenant => vec![whoami_policy(tenant)],
        ResourceKind::Fleet(kind) => of_fleet(tenant, kind),
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
    vec![of("audit", tenant.id.as_str(), ""), of("audit-of-all", ALL_TENANTS, &admin)]
}

/// Permits the tenant every call for its own objects of this kind, and reads of those of all tenants if the
/// token has the admin scope.
fn of_fleet(tenant: &Tenant, kind: FleetKind) -> Vec<GrantPolicy> {
    let (what, resource, group, reads): (_, _, _, &[Action]) = match kind {
        FleetKind::BulkJob => (
            "bulk-jobs",
            "BulkJob",
            "Bulk",
            &[
                Action::GetBulkAssociation,
                Action::ListBulkAssociations,
                Action::ListBulkAssociationItems,
                Action::WatchBulkAssociation,
            ],
        ),
        FleetKind::EncryptionRule => (
            "encryption-rules",
            "EncryptionRule",
            "Rule",
            &[Action::GetEncryptionRule, Action::ListEncryptionRules],
        ),
        FleetKind::Coverage => (
            "coverage",
            "Coverage",
            "Coverage",
            &[Action::GetCoverage, Action::ListCoverageFindings, Action::GetCoverageHistory],
        ),
    };
    let tenant = &tenant.id;
    let of = |id: String, actions: &str, scope: &str, condition: &str| {
        let text = format!(
            "@id(\"{id}\")\n\
             permit (\n\
             \x20   principal in LogKey::Tenant::\"{tenant}\",\n\
             \x20   action in [{actions}],\n\
             \x20   resource is LogKey::{resource}{scope}\n\
             ){condition};\n"
        );
        GrantPolicy { id, text }
    };
    let own = format!(" in LogKey::Tenant::\"{tenant}\"");
    let reads: Vec<String> = reads.iter().map(|action| format!("LogKey::Action::\"{action}\"")).collect();
    let admin = format!("\nwhen {{ principal.scopes.contains(\"{}\") }}", Scope::Admin);
    vec![
        of(format!("{PREFIX}{tenant}/{what}"), &format!("LogKey::Action::\"{group}\""), &own, ""),
        of(format!("{PREFIX}{tenant}/{what}-of-all"), &reads.join(", "), "", &admin),
    ]
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
        ResourceKind::AuditLog | ResourceKind::Tenant | ResourceKind::Fleet(_) => None,
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
