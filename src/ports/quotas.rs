//! What AWS grants an account in a Region, as far as AWS itself says so.

use std::{num::NonZeroU32, time::Instant};

use async_trait::async_trait;

use super::{aws::Answered, limit::Operation};
use crate::domain::authorization::Access;

/// Reads quotas.
#[async_trait]
pub trait Quotas: Send + Sync + 'static {
    /// What AWS grants the account and Region of the permit.
    async fn granted(&self, access: &Access, deadline: Instant) -> Answered<Granted>;
}

/// Learns what AWS grants the places that are called.
#[async_trait]
pub trait LearnQuotas: Send + Sync + 'static {
    /// AWS is about to be called with this. Comes back at once, and learns aside.
    fn learn(&self, access: &Access);

    /// Learns now, whatever is remembered, and tells how that went; none where quotas are not asked for.
    async fn learn_now(&self, access: &Access, deadline: Instant) -> Option<Answered<()>>;
}

/// Calls a second that AWS grants, by operation. What it does not tell is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted(Vec<(Operation, NonZeroU32)>);

/// Nobody asks AWS for quotas.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotAsked;

// === impl Granted ===

impl Granted {
    /// Calls a second of this operation, where AWS told.
    #[must_use]
    pub fn of(&self, operation: Operation) -> Option<NonZeroU32> {
        self.0.iter().find(|(told, _)| *told == operation).map(|(_, per_second)| *per_second)
    }
}

impl FromIterator<(Operation, NonZeroU32)> for Granted {
    fn from_iter<I: IntoIterator<Item = (Operation, NonZeroU32)>>(told: I) -> Self {
        Self(told.into_iter().collect())
    }
}

// === impl NotAsked ===

#[async_trait]
impl LearnQuotas for NotAsked {
    fn learn(&self, _: &Access) {}

    async fn learn_now(&self, _: &Access, _: Instant) -> Option<Answered<()>> {
        None
    }
}
