//! The quotas of an account and Region, as AWS Service Quotas returns them.

use std::{num::NonZeroU32, time::Instant};

use async_trait::async_trait;

use super::{aws::AwsResponse, limit::Operation};
use crate::domain::authorization::Access;

/// Reads quotas from AWS.
#[async_trait]
pub trait Quotas: Send + Sync + 'static {
    /// The quotas of the account and Region of `access`.
    async fn fetch(&self, access: &Access, deadline: Instant) -> AwsResponse<ServiceQuotas>;
}

/// Keeps the quotas of the locations that the service calls up to date.
#[async_trait]
pub trait QuotaDiscovery: Send + Sync + 'static {
    /// Call this before a call to AWS with `access`. It returns at once; a read of the quotas runs in the
    /// background.
    fn refresh_in_background(&self, access: &Access);

    /// Reads the quotas now, whether or not they are cached, and returns the result. `None` if the discovery
    /// is disabled.
    async fn refresh(&self, access: &Access, deadline: Instant) -> Option<AwsResponse<()>>;
}

/// The quotas in calls per second, by operation. It contains only operations for which AWS returned a quota.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceQuotas(Vec<(Operation, NonZeroU32)>);

/// A discovery that never reads quotas from AWS.
#[derive(Clone, Copy, Debug, Default)]
pub struct QuotaDiscoveryDisabled;

// === impl ServiceQuotas ===

impl ServiceQuotas {
    /// The quota of this operation in calls per second, if AWS returned one.
    #[must_use]
    pub fn of(&self, operation: Operation) -> Option<NonZeroU32> {
        self.0.iter().find(|(candidate, _)| *candidate == operation).map(|(_, per_second)| *per_second)
    }
}

impl FromIterator<(Operation, NonZeroU32)> for ServiceQuotas {
    fn from_iter<I: IntoIterator<Item = (Operation, NonZeroU32)>>(quotas: I) -> Self {
        Self(quotas.into_iter().collect())
    }
}

// === impl QuotaDiscoveryDisabled ===

#[async_trait]
impl QuotaDiscovery for QuotaDiscoveryDisabled {
    fn refresh_in_background(&self, _: &Access) {}

    async fn refresh(&self, _: &Access, _: Instant) -> Option<AwsResponse<()>> {
        None
    }
}
