//! What an embedded AWS starts with: a TOML file, or the same in Rust through
//! [`Builder`](super::builder::Builder). `docs/sandbox.md` describes the file.

mod apply;
mod check;
mod read;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;

use super::{
    fault::Fault,
    policy::InvalidPolicy,
    quota::{Quotas, Rate},
};

pub(super) use self::apply::apply;

/// Everything a seed can say.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    /// Who may assume the roles; absent, as before.
    pub service_principal: Option<ServiceIdentity>,
    /// Quotas of every account that has none of its own; absent, as before.
    pub quotas: Option<QuotaSeed>,
    /// Whether the signatures of sessions are verified; absent, they are. Looked at once, at the start.
    pub verify_signatures: Option<bool>,
    /// The journal; looked at once, at the start.
    pub journal: JournalSeed,
    /// Accounts.
    pub accounts: Vec<AccountSeed>,
    /// Faults that are there from the start.
    pub faults: Vec<Fault>,
}

/// The principal whose credentials the service has.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceIdentity {
    /// Its ARN. A session's, as in production: so sessions last an hour at most.
    pub arn: String,
    /// Its access key id. With these credentials any secret will do.
    pub access_key_id: String,
}

/// Quotas, by operation.
#[derive(Clone, Debug, Deserialize, Default)]
#[serde(default)]
pub struct QuotaSeed {
    /// No quotas but the ones named here.
    pub off: bool,
    /// What differs from AWS's published ones.
    #[serde(flatten)]
    pub rates: BTreeMap<String, Rate>,
}

/// The journal of calls.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalSeed {
    /// Calls kept; 0 switches it off.
    pub limit: usize,
}

/// One account.
#[derive(Clone, Debug, Default)]
pub struct AccountSeed {
    /// Twelve digits.
    pub account_id: String,
    /// Regions that are enabled, beside those named below.
    pub regions: Vec<String>,
    /// Its own quotas, in place of everyone's.
    pub quotas: Option<QuotaSeed>,
    /// Region to the id or ARN of the key of its query results.
    pub query_results: BTreeMap<String, String>,
    /// How its queries run; absent, as before.
    pub queries: Option<QueryPlan>,
    /// Roles.
    pub roles: Vec<RoleSeed>,
    /// Keys.
    pub keys: Vec<KeySeed>,
    /// Log groups.
    pub log_groups: Vec<LogGroupSeed>,
}

/// How queries run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueryPlan {
    /// How many looks find a query running before one finds its end.
    pub running: u32,
    /// `Complete`, `Failed`, `Cancelled` or `Timeout`.
    pub end: String,
}

/// One role.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleSeed {
    /// Its name.
    pub name: String,
    /// The external id it asks for, if any.
    pub external_id: Option<String>,
    /// Principals it trusts; absent, the hub.
    pub trusted: Option<Vec<String>>,
    /// A trust policy in place of the two above.
    pub trust_policy: Option<PolicyText>,
    /// Actions it may do on everything; absent, all.
    pub permissions: Option<Vec<String>>,
    /// An identity policy in place of that.
    pub policy: Option<PolicyText>,
    /// Actions that a service control policy denies.
    #[serde(default)]
    pub denied_by_organization: Vec<String>,
    /// Longest session, in seconds; absent, 3600.
    pub max_session_duration: Option<i64>,
}

/// One key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySeed {
    /// Its id.
    pub id: String,
    /// Its Region.
    pub region: String,
    /// Absent, `SYMMETRIC_DEFAULT`.
    pub spec: Option<String>,
    /// Absent, `ENCRYPT_DECRYPT`.
    pub usage: Option<String>,
    /// Absent, `Enabled`.
    pub state: Option<String>,
    /// `CUSTOMER` or `AWS`; absent, `CUSTOMER`.
    pub manager: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// A multi-Region key.
    #[serde(default)]
    pub multi_region: bool,
    /// Its policy: one of the shorthands, or JSON; absent, `allow-both`.
    pub policy: Option<PolicyText>,
    /// `alias/…` names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// One log group, or many of a kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogGroupSeed {
    /// Its name; with a `count`, `{n}` in it becomes each number from 0.
    pub name: String,
    /// Its Region.
    pub region: String,
    /// Absent, `STANDARD`.
    pub class: Option<String>,
    /// Absent, for ever.
    pub retention_days: Option<i64>,
    /// The id or ARN of its key; absent, none.
    pub key: Option<String>,
    /// How many of them; absent, one.
    pub count: Option<u32>,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A policy: JSON text, a table, or the name of a shorthand.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum PolicyText {
    /// A name, or JSON.
    Text(String),
    /// The document itself.
    Document(serde_json::Value),
}

/// Everything that is wrong with a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedFaults(pub Vec<SeedFault>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedFault {
    /// Where: by its place in the file if it could not be read, such as `accounts[0].keys[2]`; else by
    /// its name, such as `account 111122223333, key k1 in us-east-1`.
    pub location: String,
    /// What, and what to write instead.
    pub what: String,
}

// === impl Hub ===

impl Default for ServiceIdentity {
    fn default() -> Self {
        Self {
            arn: "arn:aws:sts::999999999999:assumed-role/LogKeyHub/logkey".to_owned(),
            access_key_id: "AKIASANDBOXHUB".to_owned(),
        }
    }
}

// === impl AccountSeed ===

impl AccountSeed {
    /// Every Region that is named in it.
    fn every_region(&self) -> impl Iterator<Item = &str> {
        let named = self.regions.iter().chain(self.query_results.keys());
        let keys = self.keys.iter().map(|key| &key.region);
        let groups = self.log_groups.iter().map(|group| &group.region);
        named.chain(keys).chain(groups).map(String::as_str)
    }
}

// === impl QueryPlan ===

impl Default for QueryPlan {
    fn default() -> Self {
        Self { running: 0, end: "Complete".to_owned() }
    }
}

// === impl JournalSeed ===

impl Default for JournalSeed {
    fn default() -> Self {
        Self { limit: 100_000 }
    }
}

// === impl SeedFaults ===

impl fmt::Display for SeedFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, SeedFault { location: place, what }) in self.0.iter().enumerate() {
            let line = if at == 0 { "" } else { "\n" };
            write!(f, "{line}{place}: {what}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SeedFaults {}

impl From<InvalidPolicy> for SeedFaults {
    fn from(error: InvalidPolicy) -> Self {
        Self(vec![SeedFault { location: "policy".to_owned(), what: error.to_string() }])
    }
}

// === impl QuotaSeed ===

impl QuotaSeed {
    fn quotas(&self) -> Quotas {
        let base = if self.off { Quotas::off() } else { Quotas::published_defaults() };
        let rates = self.rates.iter();
        rates.fold(base, |quotas, (operation, rate)| quotas.with(operation, *rate))
    }
}
