//! What AWS grants an account in a Region, as far as AWS itself says so.

use std::{num::NonZeroU32, time::Instant};

use async_trait::async_trait;

use super::{aws::AwsResponse, limit::Operation};
use crate::domain::authorization::Access;

/// Reads quotas.
#[async_trait]
pub trait Quotas: Send + Sync + 'static {
    /// What AWS grants the account and Region of the permit.
    async fn fetch(&self, access: &Access, deadline: Instant) -> AwsResponse<ServiceQuotas>;
}

/// Learns what AWS grants the places that are called.
#[async_trait]
pub trait QuotaDiscovery: Send + Sync + 'static {
    /// AWS is about to be called with this. Comes back at once, and learns aside.
    fn refresh_in_background(&self, access: &Access);

    /// Learns now, whatever is remembered, and tells how that went; none where quotas are not asked for.
    async fn refresh(&self, access: &Access, deadline: Instant) -> Option<AwsResponse<()>>;
}

/// Calls a second that AWS grants, by operation. What it does not tell is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceQuotas(Vec<(Operation, NonZeroU32)>);

/// Nobody asks AWS for quotas.
#[derive(Clone, Copy, Debug, Default)]
pub struct QuotaDiscoveryDisabled;

// === impl Granted ===

impl ServiceQuotas {
    /// Calls a second of this operation, where AWS told.
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

// === impl NotAsked ===

#[async_trait]
impl QuotaDiscovery for QuotaDiscoveryDisabled {
    fn refresh_in_background(&self, _: &Access) {}

    async fn refresh(&self, _: &Access, _: Instant) -> Option<AwsResponse<()>> {
        None
    }
}
