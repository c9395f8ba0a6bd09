//! The contents of a seed. `docs/sandbox.md` describes the file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    fault::spec::Fault,
    quota::{Quotas, Rate},
};

/// The contents of a seed file.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    /// The principal that may assume the roles; if absent, it stays as it is.
    pub service_principal: Option<ServiceIdentity>,
    /// The quotas of accounts without `quotas` in their seed; if absent, they stay as they are.
    pub quotas: Option<QuotaSeed>,
    /// Whether the signatures of sessions are verified; true by default. Read only at start.
    pub verify_signatures: Option<bool>,
    /// The journal; read only at start.
    pub journal: JournalSeed,
    /// The accounts to add or change.
    pub accounts: Vec<AccountSeed>,
    /// Faults that are active from the start.
    pub faults: Vec<Fault>,
    /// The ARN of the queue that gets the events of all accounts; if absent, it stays as it is.
    pub event_queue: Option<String>,
}

/// The principal that the service runs as.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceIdentity {
    /// Its ARN. By default a session's, as in production, so its own sessions last at most an hour.
    pub arn: String,
    /// Its access key id. The sandbox accepts any secret with it.
    pub access_key_id: String,
    /// Its identity policy; all actions by default.
    pub policy: Option<PolicyText>,
    /// How much of the space for session policies and tags the tags of its session take, in percent. The tags that EKS Pod Identity sets take about 74.
    pub packed_tags_percent: usize,
}

/// Quotas by operation.
#[derive(Clone, Debug, Deserialize, Default)]
#[serde(default)]
pub struct QuotaSeed {
    /// Removes all quotas except those in `rates`.
    pub off: bool,
    /// Rates that replace AWS's published ones.
    #[serde(flatten)]
    pub rates: BTreeMap<String, Rate>,
}

/// The journal of calls.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalSeed {
    /// The number of calls kept; 0 switches the journal off.
    pub limit: usize,
}

/// One account.
#[derive(Clone, Debug, Default)]
pub struct AccountSeed {
    /// Twelve digits.
    pub account_id: String,
    /// Enabled Regions, in addition to those of the keys, log groups and query results.
    pub regions: Vec<String>,
    /// Quotas of this account, instead of the seed's.
    pub quotas: Option<QuotaSeed>,
    /// The key of query results by Region, as an id or ARN.
    pub query_results: BTreeMap<String, String>,
    /// How queries run; if absent, this stays as it is.
    pub queries: Option<QueryPlan>,
    /// The IAM roles to add or replace.
    pub roles: Vec<RoleSeed>,
    /// The KMS keys to add or replace.
    pub keys: Vec<KeySeed>,
    /// The log groups to add or replace.
    pub log_groups: Vec<LogGroupSeed>,
    /// The queues to add or change; a queue keeps its messages.
    pub queues: Vec<QueueSeed>,
}

/// How queries run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueryPlan {
    /// How many polls find a query running before it ends.
    pub running: u32,
    /// The final status: `Complete`, `Failed`, `Cancelled` or `Timeout`.
    pub end: String,
}

/// One role.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleSeed {
    /// The name, without a path.
    pub name: String,
    /// The external id that the trust policy requires; none if absent.
    pub external_id: Option<String>,
    /// ARNs of the trusted principals; by default the service identity's role.
    pub trusted: Option<Vec<String>>,
    /// A trust policy that replaces `external_id` and `trusted`.
    pub trust_policy: Option<PolicyText>,
    /// Actions allowed on every resource; all actions by default.
    pub permissions: Option<Vec<String>>,
    /// An identity policy that replaces `permissions`.
    pub policy: Option<PolicyText>,
    /// The permissions boundary; none if absent.
    pub permissions_boundary: Option<PolicyText>,
    /// Actions that a service control policy denies.
    #[serde(default)]
    pub denied_by_organization: Vec<String>,
    /// The maximum session duration in seconds; 3600 by default.
    pub max_session_duration: Option<i64>,
}

/// One key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySeed {
    /// The key id, without an ARN.
    pub id: String,
    /// The Region, such as `us-east-1`.
    pub region: String,
    /// The key spec; `SYMMETRIC_DEFAULT` by default.
    pub spec: Option<String>,
    /// The key usage; `ENCRYPT_DECRYPT` by default.
    pub usage: Option<String>,
    /// The key state; `Enabled` by default.
    pub state: Option<String>,
    /// The key manager, `CUSTOMER` or `AWS`; `CUSTOMER` by default.
    pub manager: Option<String>,
    /// The description, empty by default.
    #[serde(default)]
    pub description: String,
    /// Whether it is a multi-Region key.
    #[serde(default)]
    pub multi_region: bool,
    /// The key policy, as JSON or a policy name; `allow-both` by default.
    pub policy: Option<PolicyText>,
    /// Alias names, each starting with `alias/`.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The key's tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// One log group, or several with numbered names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogGroupSeed {
    /// The name; with a `count`, `{n}` is replaced by each number from 0.
    pub name: String,
    /// The Region, such as `us-east-1`.
    pub region: String,
    /// The log group class; `STANDARD` by default.
    pub class: Option<String>,
    /// The retention in days; unlimited if absent.
    pub retention_days: Option<i64>,
    /// The id or ARN of the key; none if absent.
    pub key: Option<String>,
    /// The number of log groups; one by default.
    pub count: Option<u32>,
    /// The tags of each log group.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// One SQS queue.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueSeed {
    /// The name.
    pub name: String,
    /// The Region, such as `us-east-1`.
    pub region: String,
    /// For how many seconds a received message is hidden; 30 by default.
    pub visibility_timeout: Option<i64>,
    /// The name of the dead-letter queue in the same Region; none if absent. It is created too.
    pub dead_letter_queue: Option<String>,
    /// How often a message is received before it moves to the dead-letter queue; 3 by default.
    pub max_receive_count: Option<u32>,
}

/// A policy: JSON text, a table, or a policy name such as `allow-logs`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum PolicyText {
    /// A policy name, or JSON text.
    Text(String),
    /// The policy document as a table.
    Document(serde_json::Value),
}

// === impl ServiceIdentity ===

impl Default for ServiceIdentity {
    fn default() -> Self {
        Self {
            arn: "arn:aws:sts::999999999999:assumed-role/LogKeyHub/logkey".to_owned(),
            access_key_id: "AKIASANDBOXHUB".to_owned(),
            policy: None,
            packed_tags_percent: 0,
        }
    }
}

// === impl AccountSeed ===

impl AccountSeed {
    /// Every Region that the account's seed names.
    pub(super) fn every_region(&self) -> impl Iterator<Item = &str> {
        let named = self.regions.iter().chain(self.query_results.keys());
        let keys = self.keys.iter().map(|key| &key.region);
        let groups = self.log_groups.iter().map(|group| &group.region);
        let queues = self.queues.iter().map(|queue| &queue.region);
        named.chain(keys).chain(groups).chain(queues).map(String::as_str)
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

// === impl QuotaSeed ===

impl QuotaSeed {
    /// The quotas that it describes.
    pub(super) fn quotas(&self) -> Quotas {
        let base = if self.off { Quotas::off() } else { Quotas::published_defaults() };
        let rates = self.rates.iter();
        rates.fold(base, |quotas, (operation, rate)| quotas.with(operation, *rate))
    }
}

// === impl PolicyText ===

impl PolicyText {
    /// The policy name, or the JSON text.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Document(document) => document.to_string(),
        }
    }
}
