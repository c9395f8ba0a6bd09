//! The settings of the limits, and where each quota comes from. A tenant's own limits are part of the tenant.

use std::{
    collections::HashMap,
    num::{NonZeroU32, NonZeroUsize},
};

use crate::{
    domain::aws::AccountId,
    ports::{
        limit::{Cost, Operation, QuotaKey},
        quotas::ServiceQuotas,
    },
};

/// The settings of the limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The cost of a call, in units of its tenant's quota.
    pub costs: Costs,
    /// The configured AWS quotas.
    pub upstream: AwsQuotas,
    /// The maximum number of calls that wait for an upstream permit.
    pub waiting: QueueBounds,
}

/// The cost of a call, in units of its tenant's quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// The cost of a read. The default is 1.
    pub read: NonZeroU32,
    /// The cost of a change. The default is 1.
    pub change: NonZeroU32,
}

/// The configured AWS quotas of all accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsQuotas {
    /// The quotas of every account without an entry in `accounts`.
    pub default: AwsQuota,
    /// The quotas of accounts whose AWS quotas were raised, or are shared with other clients.
    pub accounts: HashMap<AccountId, AwsQuota>,
}

/// The configured quotas of one account in each Region, in calls per second; `None` if not configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AwsQuota {
    /// The quota of `AssociateKmsKey`.
    pub associate_per_second: Option<NonZeroU32>,
    /// The quota of `DisassociateKmsKey`.
    pub disassociate_per_second: Option<NonZeroU32>,
    /// The quota of `DescribeLogGroups`.
    pub describe_per_second: Option<NonZeroU32>,
    /// The quota of `StartQuery`.
    pub start_query_per_second: Option<NonZeroU32>,
    /// The quota of `GetQueryResults`.
    pub get_query_results_per_second: Option<NonZeroU32>,
}

/// The source of a quota, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaSource {
    /// The configuration.
    Configured,
    /// AWS Service Quotas.
    ServiceQuotas,
    /// The default in AWS's documentation.
    Default,
}

/// The maximum number of calls that wait for an upstream permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueBounds {
    /// For one quota key. The default is 1,024.
    pub per_quota_key: NonZeroUsize,
    /// For one tenant within a quota key. The default is 512.
    pub per_tenant: NonZeroUsize,
}

// === impl Costs ===

impl Costs {
    /// The cost of a call of this kind.
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

// === impl AwsQuotas ===

impl AwsQuotas {
    /// The calls per second of this quota key, and their source; `granted` holds the values of Service Quotas
    /// for its location.
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

// === impl AwsQuota ===

impl AwsQuota {
    /// The configured calls per second of this operation, if any.
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

/// AWS's default quotas, in calls per second
/// ([`CloudWatch` Logs quotas](https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html)).
/// `DisassociateKmsKey` is not listed there; it gets the value of `AssociateKmsKey`.
fn default_quota(operation: Operation) -> NonZeroU32 {
    const FIVE: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
    const TEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
    match operation {
        Operation::AssociateKmsKey | Operation::DisassociateKmsKey => FIVE,
        Operation::DescribeLogGroups | Operation::StartQuery | Operation::GetQueryResults => TEN,
    }
}

// === impl QuotaSource ===

impl QuotaSource {
    /// The name of the source, as in [`super::view::QuotaKeyView::quota_from`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::ServiceQuotas => "service quotas",
            Self::Default => "default",
        }
    }
}

// === impl QueueBounds ===

impl Default for QueueBounds {
    fn default() -> Self {
        const QUOTA_KEY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1_023);
        const TENANT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);
        Self { per_quota_key: QUOTA_KEY, per_tenant: TENANT }
    }
}
