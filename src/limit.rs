//! How much may be called: each tenant to its own limits, and all of them together toward AWS.
//!
//! Local to one process, or shared by replicas through [`redis`]. What is configured holds from the next
//! call, so that a reload holds at once.

pub mod gcra;
pub mod quota_discovery;
pub mod redis;
pub mod tenant_quota;
pub mod upstream_limiter;
pub mod view;

use std::{
    collections::HashMap,
    num::{NonZeroU32, NonZeroUsize},
    sync::{Mutex, MutexGuard, PoisonError},
};

pub use self::{
    quota_discovery::QuotaDiscoverer, redis::SharedQuota, tenant_quota::LocalQuota,
    upstream_limiter::LocalUpstreamLimiter,
};
use crate::{
    domain::aws::AccountId,
    ports::{
        limit::{Cost, Operation, QuotaKey},
        quotas::ServiceQuotas,
    },
};

/// Settings of this module. A tenant's own limits come with the tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// What a call takes from its tenant's budget.
    pub costs: Costs,
    /// What AWS grants accounts.
    pub upstream: AwsQuotas,
    /// How many calls may wait for a turn toward AWS.
    pub waiting: QueueBounds,
}

/// What a call takes from its tenant's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// A call that reads.
    pub read: NonZeroU32,
    /// A call that changes something.
    pub change: NonZeroU32,
}

/// What AWS grants accounts, as far as it is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsQuotas {
    /// Where nothing else is said.
    pub default: AwsQuota,
    /// Of accounts whose quotas were raised, or are used by others too.
    pub accounts: HashMap<AccountId, AwsQuota>,
}

/// What AWS grants an account in a Region, in calls a second, as far as it is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AwsQuota {
    /// Of `AssociateKmsKey`.
    pub associate_per_second: Option<NonZeroU32>,
    /// Of `DisassociateKmsKey`.
    pub disassociate_per_second: Option<NonZeroU32>,
    /// Of `DescribeLogGroups`.
    pub describe_per_second: Option<NonZeroU32>,
    /// Of `StartQuery`.
    pub start_query_per_second: Option<NonZeroU32>,
    /// Of `GetQueryResults`.
    pub get_query_results_per_second: Option<NonZeroU32>,
}

/// Where it is known from how much AWS grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaSource {
    /// The configuration, which wins.
    Configured,
    /// Service Quotas, which was asked.
    ServiceQuotas,
    /// AWS's documentation.
    Default,
}

/// How many calls may wait for a turn toward AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueBounds {
    /// For one operation in one account and Region.
    pub per_quota_key: NonZeroUsize,
    /// Of these, from one tenant.
    pub per_tenant: NonZeroUsize,
}

// === impl Costs ===

impl Costs {
    /// What a call of this kind takes.
    #[must_use]
    pub fn of(self, cost: Cost) -> NonZeroU32 {
        match cost {
            Cost::Read => self.read,
            Cost::Change => self.change,
        }
    }
}

impl Default for Costs {
    fn default() -> Self {
        Self { read: NonZeroU32::MIN, change: NonZeroU32::MIN }
    }
}

// === impl Upstreams ===

impl AwsQuotas {
    /// Calls a second of this lane, and where that is known from; `granted` is what Service Quotas says
    /// of its place.
    #[must_use]
    pub fn of(&self, quota_key: &QuotaKey, granted: Option<&ServiceQuotas>) -> (NonZeroU32, QuotaSource) {
        let own = self.accounts.get(&quota_key.location.account).unwrap_or(&self.default);
        let configured = own.of(quota_key.operation).map(|quota| (quota, QuotaSource::Configured));
        let discovered = || granted?.of(quota_key.operation).map(|quota| (quota, QuotaSource::ServiceQuotas));
        configured.or_else(discovered).unwrap_or((default_quota(quota_key.operation), QuotaSource::Default))
    }
}

impl From<AwsQuota> for AwsQuotas {
    fn from(default: AwsQuota) -> Self {
        Self { default, accounts: HashMap::new() }
    }
}

// === impl Upstream ===

impl AwsQuota {
    /// Calls a second of this operation, where they are configured.
    #[must_use]
    pub fn of(self, operation: Operation) -> Option<NonZeroU32> {
        match operation {
            Operation::AssociateKmsKey => self.associate_per_second,
            Operation::DisassociateKmsKey => self.disassociate_per_second,
            Operation::DescribeLogGroups => self.describe_per_second,
            Operation::StartQuery => self.start_query_per_second,
            Operation::GetQueryResults => self.get_query_results_per_second,
        }
    }
}

/// Calls a second of an account that has AWS's default quotas (Service Quotas of `CloudWatch` Logs).
/// `DisassociateKmsKey` is not listed there, and taken to be as `AssociateKmsKey`.
fn default_quota(operation: Operation) -> NonZeroU32 {
    const FIVE: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
    const TEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
    match operation {
        Operation::AssociateKmsKey | Operation::DisassociateKmsKey => FIVE,
        Operation::DescribeLogGroups | Operation::StartQuery | Operation::GetQueryResults => TEN,
    }
}

// === impl QuotaFrom ===

impl QuotaSource {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::ServiceQuotas => "service quotas",
            Self::Default => "default",
        }
    }
}

// === impl Waiting ===

impl Default for QueueBounds {
    fn default() -> Self {
        const LANE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1_023);
        const TENANT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);
        Self { per_quota_key: LANE, per_tenant: TENANT }
    }
}

/// Nothing here is left half done when a thread panics, so a poisoned lock is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
