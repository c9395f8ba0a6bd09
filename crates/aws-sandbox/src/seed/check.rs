//! Validates a seed and collects every error. After that, applying the seed needs no further checks.

use std::collections::BTreeSet;

use super::{
    contents::{AccountSeed, KeySeed, LogGroupSeed, QueueSeed, RoleSeed, Seed},
    error::SeedError,
};
use crate::{
    partition,
    policy::{error::InvalidPolicy, evaluation::Policy, shorthand},
    state::groups::{DELIVERY, DELIVERY_DAYS},
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
/// The maximum `count` of a log group entry.
const MAX_COUNT: u32 = 100_000;

/// Returns every error in `seed`. `already_exists` says whether the sandbox has a key with this ARN.
pub(super) fn check(seed: &Seed, already_exists: impl Fn(&str) -> bool) -> Vec<SeedError> {
    let mut checker =
        Checker { diagnostics: Vec::new(), key_arns: key_arns(seed), already_exists: &already_exists };
    let identity = seed.service_principal.as_ref().and_then(|identity| identity.policy.as_ref());
    if let Some(Err(error)) = identity.map(|policy| policy.text().parse::<Policy>()) {
        checker.diagnostic("hub", format!("policy: {}", describe_error(&error)));
    }
    let mut ids = BTreeSet::new();
    // The parser has already reported accounts without an id.
    for account in seed.accounts.iter().filter(|account| !account.account_id.is_empty()) {
        let location = format!("account {}", account.account_id);
        if !ids.insert(&account.account_id) {
            checker.diagnostic(&location, "is defined twice; remove one");
        }
        checker.account(&location, account);
    }
    checker.diagnostics
}

/// The ARN of a key that is given by its id or ARN.
pub(super) fn key_arn(name: &str, account: &str, region: &str) -> String {
    if name.starts_with("arn:") {
        return name.to_owned();
    }
    format!("arn:{}:kms:{region}:{account}:key/{name}", partition::of_region(region))
}

/// Parses a key's policy, or expands its policy name.
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
    diagnostics: Vec<SeedError>,
    key_arns: BTreeSet<String>,
    already_exists: &'a dyn Fn(&str) -> bool,
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
            self.diagnostic(
                location,
                "names Regions of several partitions; an account belongs to one partition",
            );
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
                self.diagnostic(&location, "is defined twice; remove one");
            }
            for alias in &key.aliases {
                if !aliases.insert((&key.region, alias)) {
                    self.diagnostic(
                        &location,
                        format!("alias {alias} is defined twice in one Region; remove one"),
                    );
                }
            }
        }
        for queue in &account.queues {
            self.queue(&format!("{location}, queue {} in {}", queue.name, queue.region), queue);
        }
        let mut names = BTreeSet::new();
        for group in &account.log_groups {
            let location = format!("{location}, log group {} in {}", group.name, group.region);
            self.log_group(&location, group, account);
            if !names.insert((&group.region, &group.name)) {
                self.diagnostic(&location, "is defined twice; remove one");
            }
        }
    }

    fn queue(&mut self, location: &str, queue: &QueueSeed) {
        self.region(location, &queue.region);
        for name in [Some(&queue.name), queue.dead_letter_queue.as_ref()].into_iter().flatten() {
            if !validate::queue_name(name) {
                let text = format!("`{name}` is not a queue name; expected 1 to 80 of A-Z a-z 0-9 - _");
                self.diagnostic(location, text);
            }
        }
        if queue.visibility_timeout.is_some_and(|seconds| !(0..=43_200).contains(&seconds)) {
            self.diagnostic(location, "visibility_timeout must be between 0 and 43200 seconds");
        }
        if queue.max_receive_count.is_some_and(|count| !(1..=1_000).contains(&count)) {
            self.diagnostic(location, "max_receive_count must be between 1 and 1000");
        }
        if queue.max_receive_count.is_some() && queue.dead_letter_queue.is_none() {
            self.diagnostic(location, "max_receive_count needs a dead_letter_queue");
        }
    }

    fn role(&mut self, location: &str, role: &RoleSeed) {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
        if role.name.is_empty() || role.name.len() > 64 || !role.name.chars().all(is_valid) {
            self.diagnostic(location, "name must be 1 to 64 letters, digits and characters of +=,.@_-");
        }
        if let Some(Err(refusal)) = role.external_id.as_deref().map(validate::external_id) {
            self.diagnostic(location, format!("external_id: {}", refusal.message));
        }
        if role.trust_policy.is_some() && (role.trusted.is_some() || role.external_id.is_some()) {
            self.diagnostic(location, "trust_policy replaces trusted and external_id; set one or the other");
        }
        if role.policy.is_some() && role.permissions.is_some() {
            self.diagnostic(location, "policy replaces permissions; set one or the other");
        }
        for (name, policy) in [
            ("trust_policy", &role.trust_policy),
            ("policy", &role.policy),
            ("permissions_boundary", &role.permissions_boundary),
        ] {
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
        let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if key.id.is_empty() || !key.id.chars().all(is_valid) {
            self.diagnostic(
                location,
                "id must consist of letters, digits and hyphens; write the key id, not its ARN",
            );
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
        self.one_of(location, "class", group.class.as_deref(), &validate::LOG_GROUP_CLASSES);
        let is_delivery = group.class.as_deref() == Some(DELIVERY);
        let days: &[i64] = if is_delivery { &[DELIVERY_DAYS] } else { &validate::RETENTION_DAYS };
        if group.retention_days.is_some_and(|chosen| !days.contains(&chosen)) {
            self.diagnostic(location, format!("retention_days must be one of {days:?}"));
        }
        if group.count.is_some_and(|count| count > MAX_COUNT) {
            self.diagnostic(location, format!("count must be at most {MAX_COUNT}"));
        }
        if group.count.is_some() && !group.name.contains("{n}") {
            self.diagnostic(location, "with a count, the name must contain {n}");
        }
        if let Some(key) = &group.key {
            self.key_exists(location, key, account, &group.region);
        }
    }

    fn key_exists(&mut self, location: &str, key: &str, account: &AccountSeed, region: &str) {
        let arn = key_arn(key, &account.account_id, region);
        if !self.key_arns.contains(&arn) && !(self.already_exists)(&arn) {
            self.diagnostic(location, format!("there is no key {arn}; define it, or name another"));
        }
    }

    fn region(&mut self, location: &str, region: &str) {
        if !validate::is_region(region) {
            self.diagnostic(location, format!("`{region}` is not a Region; expected one such as us-east-1"));
        }
    }

    fn one_of(&mut self, location: &str, field: &str, value: Option<&str>, valid: &[&str]) {
        if let Some(value) = value.filter(|value| !valid.contains(value)) {
            let valid = valid.join(", ");
            self.diagnostic(location, format!("{field} `{value}` is not one of {valid}"));
        }
    }

    fn diagnostic(&mut self, location: &str, message: impl Into<String>) {
        self.diagnostics.push(SeedError { location: location.to_owned(), message: message.into() });
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
