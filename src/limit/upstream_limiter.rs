//! [`Pace`] kept in memory: each account's quota at AWS, shared fairly by the tenants that call there.
//!
//! A call goes at its turn, within its deadline, or is told at once that none comes in time.

mod fair_queue;
mod pacer;
mod quota_queue;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Instant as StdInstant,
};

use async_trait::async_trait;
use tokio::time::Instant;

use self::quota_queue::{QuotaQueue, Waiter};
use super::{AwsQuotas, QueueBounds, QuotaSource, lock, redis::RedisBackend, view::QuotaKeyView};
use crate::{
    domain::{association::Location, tenant::TenantId},
    ports::{
        limit::{AcquireError, Operation, Priority, QuotaKey, UpstreamLimiter, UpstreamPermit},
        quotas::ServiceQuotas,
    },
};

/// Lanes kept before those at rest are looked for.
const FIRST_SWEEP: usize = 256;

/// Gives out turns toward AWS, within this process or, where it was told so, among replicas.
#[derive(Debug)]
pub struct LocalUpstreamLimiter {
    waiting: QueueBounds,
    shared: Option<Arc<RedisBackend>>,
    discovered: Mutex<DiscoveredQuota>,
}

#[derive(Debug)]
struct DiscoveredQuota {
    upstream: AwsQuotas,
    /// What Service Quotas says; whoever gives it here also takes it back.
    granted: HashMap<Location, ServiceQuotas>,
    quota_keys: HashMap<QuotaKey, Arc<QuotaQueue>>,
    sweep_at: usize,
}

// === impl LocalPace ===

impl LocalUpstreamLimiter {
    /// With nothing sent yet.
    #[must_use]
    pub fn new(upstream: impl Into<AwsQuotas>, waiting: QueueBounds) -> Self {
        let discovered = DiscoveredQuota {
            upstream: upstream.into(),
            granted: HashMap::new(),
            quota_keys: HashMap::new(),
            sweep_at: FIRST_SWEEP,
        };
        Self { waiting, shared: None, discovered: Mutex::new(discovered) }
    }

    /// The same, with each turn taken from what replicas share.
    #[must_use]
    pub fn shared(self, link: Arc<RedisBackend>) -> Self {
        Self { shared: Some(link), ..self }
    }

    /// Takes over quotas that were configured anew. Calls that wait stay where they are.
    pub fn set_upstream(&self, upstream: impl Into<AwsQuotas>) {
        let mut discovered = lock(&self.discovered);
        discovered.upstream = upstream.into();
        for (quota_key, state) in &discovered.quota_keys {
            state.set_quota(discovered.quota(quota_key).0);
        }
    }

    /// Takes over what Service Quotas says of a place, or forgets it. Calls that wait stay where they
    /// are.
    pub fn set_granted(&self, location: &Location, granted: Option<ServiceQuotas>) {
        let mut discovered = lock(&self.discovered);
        match granted {
            Some(granted) => drop(discovered.granted.insert(location.clone(), granted)),
            None => drop(discovered.granted.remove(location)),
        }
        for operation in Operation::ALL {
            let quota_key = QuotaKey { location: location.clone(), operation };
            if let Some(state) = discovered.quota_keys.get(&quota_key) {
                state.set_quota(discovered.quota(&quota_key).0);
            }
        }
    }

    /// How many lanes are remembered.
    #[must_use]
    pub fn tracked(&self) -> usize {
        lock(&self.discovered).quota_keys.len()
    }

    /// Every lane that is remembered, by account, Region and operation.
    #[must_use]
    pub fn view(&self) -> Vec<QuotaKeyView> {
        let quota_keys: Vec<_> = {
            let discovered = lock(&self.discovered);
            discovered
                .quota_keys
                .iter()
                .map(|(quota_key, state)| (discovered.quota(quota_key).1, Arc::clone(state)))
                .collect()
        };
        let mut views: Vec<_> = quota_keys.iter().map(|(from, quota_key)| quota_key.view(*from)).collect();
        views.sort_unstable_by(|one, other| {
            let key =
                |view: &QuotaKeyView| (view.account.clone(), view.region.clone(), view.operation.clone());
            key(one).cmp(&key(other))
        });
        views
    }

    async fn wait(
        &self,
        quota_key: &QuotaKey,
        tenant: &TenantId,
        urgency: Priority,
        deadline: StdInstant,
    ) -> Result<UpstreamPermit, AcquireError> {
        let waiter = Waiter { tenant: tenant.clone(), urgency, deadline: Instant::from_std(deadline) };
        self.quota_key(quota_key).permit(waiter).await
    }

    fn quota_key(&self, quota_key: &QuotaKey) -> Arc<QuotaQueue> {
        let mut discovered = lock(&self.discovered);
        if let Some(state) = discovered.quota_keys.get(quota_key) {
            return Arc::clone(state);
        }
        let now = Instant::now();
        if discovered.quota_keys.len() >= discovered.sweep_at {
            discovered.sweep(now);
        }
        let per_second = discovered.quota(quota_key).0;
        let state =
            Arc::new(QuotaQueue::new(quota_key.clone(), per_second, self.waiting, self.shared.clone(), now));
        discovered.quota_keys.insert(quota_key.clone(), Arc::clone(&state));
        state
    }
}

#[async_trait]
impl UpstreamLimiter for LocalUpstreamLimiter {
    async fn acquire(
        &self,
        quota_key: &QuotaKey,
        tenant: &TenantId,
        deadline: StdInstant,
    ) -> Result<UpstreamPermit, AcquireError> {
        self.wait(quota_key, tenant, Priority::Interactive, deadline).await
    }

    async fn acquire_bulk(
        &self,
        quota_key: &QuotaKey,
        tenant: &TenantId,
        deadline: StdInstant,
    ) -> Result<UpstreamPermit, AcquireError> {
        self.wait(quota_key, tenant, Priority::Bulk, deadline).await
    }
}

// === impl Known ===

impl DiscoveredQuota {
    /// Calls a second of this lane, and where that is known from.
    fn quota(&self, quota_key: &QuotaKey) -> (NonZeroU32, QuotaSource) {
        self.upstream.of(quota_key, self.granted.get(&quota_key.location))
    }

    /// Runs again only once as many more have come, so that its cost is spread over them.
    fn sweep(&mut self, now: Instant) {
        self.quota_keys.retain(|_, quota_key| Arc::strong_count(quota_key) > 1 || !quota_key.is_idle(now));
        self.quota_keys.shrink_to(FIRST_SWEEP);
        self.sweep_at = (2 * self.quota_keys.len()).max(FIRST_SWEEP);
    }
}
