//! Whether a seed makes sense. Collects every fault; what it hands on needs no further look.

use std::collections::BTreeSet;

use super::{AccountSeed, KeySeed, LogGroupSeed, PolicyText, RoleSeed, Seed, SeedFault};
use crate::sandbox::{
    logs::{CLASSES, RETENTION_DAYS},
    partition,
    policy::{InvalidPolicy, Policy, shorthand},
    validate,
};

const STATES: [&str; 8] = [
    "Creating",
    "Enabled",
    "Disabled",
    "PendingDeletion",
    "PendingImport",
    "PendingReplicaDeletion",
    "Unavailable",
    "Updating",
];
const USAGES: [&str; 4] = ["ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"];
const QUERY_ENDS: [&str; 4] = ["Complete", "Failed", "Cancelled", "Timeout"];
const MANAGERS: [&str; 2] = ["CUSTOMER", "AWS"];
/// Groups that one row may stand for.
const MAX_COUNT: u32 = 100_000;

/// Everything that is wrong with `seed`. `knows_key` says whether a key is there already.
pub(super) fn check(seed: &Seed, knows_key: impl Fn(&str) -> bool) -> Vec<SeedFault> {
    let mut checker = Checker { diagnostics: Vec::new(), key_arns: key_arns(seed), knows_key: &knows_key };
    let mut ids = BTreeSet::new();
    // An account without an id has been told of where it was read.
    for account in seed.accounts.iter().filter(|account| !account.account_id.is_empty()) {
        let location = format!("account {}", account.account_id);
        if !ids.insert(&account.account_id) {
            checker.diagnostic(&location, "is there twice");
        }
        checker.account(&location, account);
    }
    checker.diagnostics
}

/// A key's ARN from its id, or the ARN as it is.
pub(super) fn key_arn(name: &str, account: &str, region: &str) -> String {
    if name.starts_with("arn:") {
        return name.to_owned();
    }
    format!("arn:{}:kms:{region}:{account}:key/{name}", partition::of_region(region))
}

/// The policy of a key.
pub(super) fn key_policy(key: &KeySeed, account: &str) -> Result<Policy, InvalidPolicy> {
    let text = match &key.policy {
        None => "allow-both".to_owned(),
        Some(policy) => policy.text(),
    };
    match shorthand::key_policy(&text, account, &key.region) {
        Some(document) => document.to_string().parse(),
        None => text.parse(),
    }
}

struct Checker<'a> {
    diagnostics: Vec<SeedFault>,
    key_arns: BTreeSet<String>,
    knows_key: &'a dyn Fn(&str) -> bool,
}

// === impl Checker ===

impl Checker<'_> {
    fn account(&mut self, location: &str, account: &AccountSeed) {
        if !validate::is_account(&account.account_id) {
            self.diagnostic(location, "account_id must be twelve digits in quotes");
        }
        let mut partitions = account.every_region().map(partition::of_region);
        let first = partitions.next();
        if partitions.any(|other| Some(other) != first) {
            self.diagnostic(location, "has Regions of several partitions: an account lives in one");
        }
        for region in account.regions.iter().chain(account.query_results.keys()) {
            self.region(location, region);
        }
        for (region, key) in &account.query_results {
            self.key_exists(&format!("{location}, query_results"), key, account, region);
        }
        let end = account.queries.as_ref().map(|plan| plan.end.as_str());
        self.one_of(&format!("{location}, queries"), "end", end, &QUERY_ENDS);
        for role in &account.roles {
            self.role(&format!("{location}, role {}", role.name), role);
        }
        let mut aliases = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for key in &account.keys {
            let location = format!("{location}, key {} in {}", key.id, key.region);
            self.key(&location, key, &account.account_id);
            if !ids.insert((&key.region, &key.id)) {
                self.diagnostic(&location, "is there twice");
            }
            for alias in &key.aliases {
                if !aliases.insert((&key.region, alias)) {
                    self.diagnostic(&location, format!("alias {alias} is there twice"));
                }
            }
        }
        let mut names = BTreeSet::new();
        for group in &account.log_groups {
            let location = format!("{location}, log group {} in {}", group.name, group.region);
            self.log_group(&location, group, account);
            if !names.insert((&group.region, &group.name)) {
                self.diagnostic(&location, "is there twice");
            }
        }
    }

    fn role(&mut self, location: &str, role: &RoleSeed) {
        let good = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
        if role.name.is_empty() || role.name.len() > 64 || !role.name.chars().all(good) {
            self.diagnostic(location, "name must be 1 to 64 of letters, digits and +=,.@_-");
        }
        if let Some(Err(refusal)) = role.external_id.as_deref().map(validate::external_id) {
            self.diagnostic(location, format!("external_id: {}", refusal.message));
        }
        if role.trust_policy.is_some() && (role.trusted.is_some() || role.external_id.is_some()) {
            self.diagnostic(
                location,
                "trust_policy stands in place of trusted and external_id: write one or the other",
            );
        }
        if role.policy.is_some() && role.permissions.is_some() {
            self.diagnostic(location, "policy stands in place of permissions: write one or the other");
        }
        for (name, policy) in [("trust_policy", &role.trust_policy), ("policy", &role.policy)] {
            if let Some(Err(error)) = policy.as_ref().map(|p| p.text().parse::<Policy>()) {
                self.diagnostic(location, format!("{name}: {}", describe_error(&error)));
            }
        }
        let range = 3600..=43_200;
        if role.max_session_duration.is_some_and(|seconds| !range.contains(&seconds)) {
            self.diagnostic(location, "max_session_duration must be between 3600 and 43200 seconds");
        }
    }

    fn key(&mut self, location: &str, key: &KeySeed, account: &str) {
        self.region(location, &key.region);
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if key.id.is_empty() || !key.id.chars().all(good) {
            self.diagnostic(location, "id must be letters, digits and hyphens, without an ARN before it");
        }
        self.one_of(location, "state", key.state.as_deref(), &STATES);
        self.one_of(location, "usage", key.usage.as_deref(), &USAGES);
        self.one_of(location, "manager", key.manager.as_deref(), &MANAGERS);
        for alias in key.aliases.iter().filter(|alias| !alias.starts_with("alias/")) {
            self.diagnostic(location, format!("alias {alias} must start with alias/"));
        }
        if let Err(error) = key_policy(key, account) {
            let names: Vec<&str> = shorthand::NAMES.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            self.diagnostic(
                location,
                format!("policy: {}; expected JSON or one of {names}", describe_error(&error)),
            );
        }
    }

    fn log_group(&mut self, location: &str, group: &LogGroupSeed, account: &AccountSeed) {
        self.region(location, &group.region);
        let name = group.name.replace("{n}", "0");
        if let Err(refusal) = validate::log_group_name(&name) {
            self.diagnostic(location, refusal.message);
        }
        self.one_of(location, "class", group.class.as_deref(), &CLASSES);
        if group.retention_days.is_some_and(|days| !RETENTION_DAYS.contains(&days)) {
            self.diagnostic(location, format!("retention_days must be one of {RETENTION_DAYS:?}"));
        }
        if group.count.is_some_and(|count| count > MAX_COUNT) {
            self.diagnostic(location, format!("count must be at most {MAX_COUNT}"));
        }
        if group.count.is_some() && !group.name.contains("{n}") {
            self.diagnostic(location, "with a count, the name must hold {n}");
        }
        if let Some(key) = &group.key {
            self.key_exists(location, key, account, &group.region);
        }
    }

    fn key_exists(&mut self, location: &str, key: &str, account: &AccountSeed, region: &str) {
        let arn = key_arn(key, &account.account_id, region);
        if !self.key_arns.contains(&arn) && !(self.knows_key)(&arn) {
            self.diagnostic(location, format!("there is no key {arn}"));
        }
    }

    fn region(&mut self, location: &str, region: &str) {
        if !validate::is_region(region) {
            self.diagnostic(location, format!("`{region}` is not a Region such as us-east-1"));
        }
    }

    fn one_of(&mut self, location: &str, field: &str, value: Option<&str>, valid: &[&str]) {
        if let Some(value) = value.filter(|value| !valid.contains(value)) {
            let valid = valid.join(", ");
            self.diagnostic(location, format!("{field} `{value}` is not one of {valid}"));
        }
    }

    fn diagnostic(&mut self, location: &str, what: impl Into<String>) {
        self.diagnostics.push(SeedFault { location: location.to_owned(), what: what.into() });
    }
}

// === impl PolicyText ===

impl PolicyText {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Document(document) => document.to_string(),
        }
    }
}

fn key_arns(seed: &Seed) -> BTreeSet<String> {
    let accounts = seed.accounts.iter();
    accounts
        .flat_map(|account| {
            let keys = account.keys.iter();
            keys.map(|key| key_arn(&key.id, &account.account_id, &key.region))
        })
        .collect()
}

fn describe_error(error: &InvalidPolicy) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
