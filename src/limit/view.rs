//! What limits stand at now, for whoever runs the service.

use serde::{Deserialize, Serialize};

/// Everything that is in use; what is at rest is forgotten and not told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LimitsView {
    /// Tenants that called lately, by name.
    pub tenants: Vec<TenantView>,
    /// Quotas toward AWS that were used lately, by account, Region and operation.
    pub quota_keys: Vec<QuotaKeyView>,
    /// How it stands with the server that replicas share, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantView {
    /// Its name.
    pub tenant: String,
    /// Calls that it could make now without waiting, as this process counts.
    pub remaining: u32,
    /// Milliseconds until its whole burst is there again.
    pub reset_ms: u64,
    /// Calls under way.
    pub in_flight: u32,
}

/// One operation of an account and Region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuotaKeyView {
    /// The account.
    pub account: String,
    /// The Region.
    pub region: String,
    /// The operation.
    pub operation: String,
    /// Calls a second that AWS is taken to grant.
    pub quota: f64,
    /// Where that is known from: `configured`, `service quotas` or `default`.
    #[serde(default)]
    pub quota_from: String,
    /// Calls a second that AWS is believed to take from this process.
    pub effective_rate: f64,
    /// Calls that wait for a turn.
    pub waiting: usize,
    /// Calls that have their turn and no answer yet.
    pub in_flight: u32,
}
