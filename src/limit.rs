//! Limits calls: each tenant to its quota, and the calls to AWS to the quotas of each account and Region.
//!
//! The limits apply to one process, or replicas share them through [`redis`]. New settings apply from the
//! next call after a reload.

mod config;
pub mod gcra;
mod idle_map;
pub mod quota_discovery;
pub mod redis;
pub mod tenant_quota;
pub mod upstream_limiter;
pub mod view;

pub use self::{
    config::{AwsQuota, AwsQuotas, Config, Costs, QueueBounds, QuotaSource},
    quota_discovery::QuotaDiscoverer,
    redis::SharedQuota,
    tenant_quota::LocalQuota,
    upstream_limiter::LocalUpstreamLimiter,
};
