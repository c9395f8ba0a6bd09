//! `[[tenants.rules]]`: the encryption rules of a tenant.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{reader::Reader, section::Section, tree::Source, value};
use crate::domain::{
    arn::{KmsKeyArn, KmsKeyId},
    aws::{AccountId, Region},
    fleet::{
        ConfiguredRule, DEFAULT_MAX_CHANGES, Exemption, KeyChoice, MAX_DISPLAY_NAME, RuleDefinition, RuleId,
        RuleMode, Selection,
    },
    pattern::Pattern,
    tenant::AccountGrant,
    time::Timestamp,
};

/// An example of the ARN or alias of a key.
const KEY_EXAMPLE: &str = "\"alias/logs\"";

/// Reads the rules of a tenant with these grants. An exemption that has expired at `now` is a warning.
pub(super) fn read(
    tenant: &Section<'_>,
    accounts: &[Arc<AccountGrant>],
    now: Timestamp,
) -> Vec<ConfiguredRule> {
    let mut first_ids: HashMap<RuleId, Source> = HashMap::new();
    let mut rules = Vec::new();
    for section in tenant.sections("rules") {
        let Some(rule) = read_rule(&section, accounts, now) else { continue };
        if let Some(first) = first_ids.insert(rule.id.clone(), section.location_of("id")) {
            report_duplicate(&section, tenant.reader(), first);
            continue;
        }
        rules.push(rule);
    }
    rules
}

fn report_duplicate(section: &Section<'_>, reader: &Reader, first: Source) {
    let first = reader.location(first);
    section.report("id", &format!("is already used at {first}: give each rule of the tenant a different id"));
}

/// Reads every key of a rule before it fails because of one, so that it finds every problem.
fn read_rule(
    section: &Section<'_>,
    accounts: &[Arc<AccountGrant>],
    now: Timestamp,
) -> Option<ConfiguredRule> {
    let id: Option<RuleId> = section.required("id", "\"baseline\"", |node| {
        let id: RuleId = value::parsed(node)?;
        if id.is_generated() {
            return Err(
                "is a UUID, and the service uses these for the rules of callers: write a name".to_owned()
            );
        }
        Ok(id)
    });
    let display_name = section.optional("display_name", |node| value::line(node, MAX_DISPLAY_NAME));
    let selection = Selection {
        accounts: section.list("account_ids", value::parsed).unwrap_or_default(),
        regions: section.list("regions", value::parsed).unwrap_or_default(),
        log_groups: section.list("log_groups", value::parsed).unwrap_or_default(),
        exclude: section.list_of("exclude", value::parsed).unwrap_or_default(),
        query_results: section.or_default("query_results", false, value::boolean),
        ..Selection::default()
    };
    let key: Option<KmsKeyId> = section.required("kms_key", KEY_EXAMPLE, value::parsed);
    let modes = [("report", RuleMode::Report), ("enforce", RuleMode::Enforce)];
    let mode = section.required("mode", "\"report\"", value::one_of(&modes));
    let priority = section.or_default("priority", 0, value::integer("from -2147483648 to 2147483647"));
    let max_changes =
        section.or_default("max_changes", DEFAULT_MAX_CHANGES, value::integer("from 0 to 4294967295"));
    let exemptions = section.sections("exemptions").iter().map(|it| read_exemption(it, now)).collect();
    check_locations(section, &selection, accounts);
    if let Some(key) = &key {
        check_key(section, key, &selection, accounts);
    }
    let exemptions: Option<Vec<Exemption>> = exemptions;
    Some(ConfiguredRule {
        id: id?,
        definition: RuleDefinition {
            display_name: display_name.unwrap_or_default(),
            selection,
            key: KeyChoice { key: Some(key?), overrides: Vec::new() },
            mode: mode?,
            priority,
            exemptions: exemptions?,
            max_changes,
        },
    })
}

fn read_exemption(section: &Section<'_>, now: Timestamp) -> Option<Exemption> {
    let pattern: Option<Pattern> = section.required("pattern", "\"/payments/tmp/*\"", value::parsed);
    let max = crate::domain::association::MAX_REASON;
    let reason = section.required("reason", "\"no customer data\"", |node| value::line(node, max));
    let expires = section.optional("expires", value::time);
    if expires.is_some_and(|expires| expires <= now) {
        section.warn("expires", "is in the past, so the exemption has no effect: remove it, or extend it");
    }
    Some(Exemption { pattern: pattern?, reason: reason?, expires })
}

/// Reports accounts and Regions that the tenant does not have.
fn check_locations(section: &Section<'_>, selection: &Selection, accounts: &[Arc<AccountGrant>]) {
    let granted: HashSet<AccountId> = accounts.iter().map(|grant| grant.account).collect();
    if selection.accounts.iter().any(|account| !granted.contains(account)) {
        section.report(
            "account_ids",
            "contains an account that the tenant does not have: correct it, or add it to the tenant's accounts",
        );
    }
    let selected: Vec<_> = selected(selection, accounts).collect();
    let is_granted = |region: &Region| selected.iter().any(|grant| grant.allows_region(region));
    if !selected.is_empty() && !selection.regions.iter().all(is_granted) {
        section.report(
            "regions",
            "contains a Region that the tenant has in none of the rule's accounts: correct it, or add it to the regions of an account",
        );
    }
    if selection.query_results && !selected.is_empty() && !selected.iter().any(|grant| grant.query_results) {
        section
            .warn("query_results", "has no effect, because no account of the rule has query_results = true");
    }
}

/// Reports the ARN of a key that the rule can use in none of its locations.
fn check_key(section: &Section<'_>, key: &KmsKeyId, selection: &Selection, accounts: &[Arc<AccountGrant>]) {
    let (region, arn): (&Region, Option<&KmsKeyArn>) = match key {
        KmsKeyId::Arn(arn) => (arn.region(), Some(arn)),
        KmsKeyId::AliasArn { region, .. } => (region, None),
        KmsKeyId::Alias(_) | KmsKeyId::KeyId(_) => return,
    };
    let selected: Vec<_> = selected(selection, accounts).collect();
    let regions: HashSet<&Region> = selected
        .iter()
        .flat_map(|grant| grant.regions.iter())
        .filter(|region| selection.regions.is_empty() || selection.regions.contains(region))
        .collect();
    if regions.is_empty() {
        return;
    }
    if !regions.contains(region) {
        section.report(
            "kms_key",
            "is in a Region that the rule does not select: use a key of the rule's Region, or an alias such as \"alias/logs\"",
        );
    } else if regions.len() > 1 {
        section.warn(
            "kms_key",
            "is an ARN, which is valid only in its Region, but the rule selects several Regions: use an alias such as \"alias/logs\", or one rule for each Region",
        );
    }
    if arn.is_some_and(|arn| !selected.iter().any(|grant| grant.allows_key(arn))) {
        section.report(
            "kms_key",
            "is not granted to the tenant: no kms_keys pattern of the rule's accounts matches it",
        );
    }
}

/// The grants of the accounts that the rule selects.
fn selected<'g>(
    selection: &'g Selection,
    accounts: &'g [Arc<AccountGrant>],
) -> impl Iterator<Item = &'g Arc<AccountGrant>> {
    accounts
        .iter()
        .filter(|grant| selection.accounts.is_empty() || selection.accounts.contains(&grant.account))
}
