//! The current state of the limits, for operators: `/limits` and `logkey limits` show it.

use serde::{Deserialize, Serialize};

/// The tenants and quota keys in use; idle ones are not tracked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LimitsView {
    /// The tenants with recent calls, sorted by id.
    pub tenants: Vec<TenantView>,
    /// The recently used quota keys, sorted by account, Region and operation.
    pub quota_keys: Vec<QuotaKeyView>,
    /// The state of the Redis server that replicas share; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

/// The state of one tenant's quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantView {
    /// The tenant's id.
    pub tenant: String,
    /// The calls that the tenant can make now without waiting, as counted by this process.
    pub remaining: u32,
    /// The milliseconds until the burst is full again.
    pub reset_ms: u64,
    /// The calls in flight.
    pub in_flight: u32,
}

/// The state of one quota key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuotaKeyView {
    /// The AWS account.
    pub account: String,
    /// The AWS Region.
    pub region: String,
    /// AWS's name of the operation.
    pub operation: String,
    /// The quota, in calls per second.
    pub quota: f64,
    /// The source of the quota: `configured`, `service quotas` or `default`.
    #[serde(default)]
    pub quota_from: String,
    /// The estimated calls per second that AWS accepts from this process.
    pub effective_rate: f64,
    /// The calls that wait for a permit.
    pub waiting: usize,
    /// The calls that have a permit and no response yet.
    pub in_flight: u32,
}
