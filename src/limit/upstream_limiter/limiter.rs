//! Issues upstream permits, from one queue for each quota key.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc, time::Instant as StdInstant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{queue_state::Waiter, quota_queue::QuotaQueue};
use crate::{
    domain::{association::Location, tenant::TenantId},
    limit::{
        config::{AwsQuotas, QueueBounds, QuotaSource},
        idle_map::IdleMap,
        redis::RedisBackend,
        view::QuotaKeyView,
    },
    ports::{
        limit::{AcquireError, Operation, Priority, QuotaKey, UpstreamLimiter, UpstreamPermit},
        quotas::ServiceQuotas,
    },
};

/// The number of tracked quota keys that triggers the first removal of idle ones.
pub(super) const FIRST_SWEEP: usize = 256;

/// Issues permits for calls to AWS, within this process or, with a [`RedisBackend`], among replicas.
#[derive(Debug)]
pub struct LocalUpstreamLimiter {
    waiting: QueueBounds,
    shared: Option<Arc<RedisBackend>>,
    state: Mutex<LimiterState>,
}

#[derive(Debug)]
struct LimiterState {
    upstream: AwsQuotas,
    /// The values of Service Quotas, which `quota_discovery` adds and removes.
    granted: HashMap<Location, ServiceQuotas>,
    queues: IdleMap<QuotaKey, QuotaQueue>,
}

// === impl LocalUpstreamLimiter ===

impl LocalUpstreamLimiter {
    /// Creates a limiter without any quota keys.
    #[must_use]
    pub fn new(upstream: impl Into<AwsQuotas>, waiting: QueueBounds) -> Self {
        let state = LimiterState {
            upstream: upstream.into(),
            granted: HashMap::new(),
            queues: IdleMap::new(FIRST_SWEEP),
        };
        Self { waiting, shared: None, state: Mutex::new(state) }
    }

    /// Takes each permit from the quota that replicas share.
    #[must_use]
    pub fn shared(self, backend: Arc<RedisBackend>) -> Self {
        Self { shared: Some(backend), ..self }
    }

    /// Applies newly configured quotas. Waiting calls keep their position in the queue.
    pub fn set_upstream(&self, upstream: impl Into<AwsQuotas>) {
        let mut state = self.state.lock();
        state.upstream = upstream.into();
        for (quota_key, queue) in state.queues.iter() {
            queue.set_quota(state.quota(quota_key).0);
        }
    }

    /// Applies the values of Service Quotas for a location, or removes them. Waiting calls keep their
    /// position.
    pub fn set_granted(&self, location: &Location, granted: Option<ServiceQuotas>) {
        let mut state = self.state.lock();
        match granted {
            Some(granted) => drop(state.granted.insert(location.clone(), granted)),
            None => drop(state.granted.remove(location)),
        }
        for operation in Operation::ALL {
            let quota_key = QuotaKey { location: location.clone(), operation };
            if let Some(queue) = state.queues.get(&quota_key) {
                queue.set_quota(state.quota(&quota_key).0);
            }
        }
    }

    /// The number of tracked quota keys.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.state.lock().queues.len()
    }

    /// The state of every tracked quota key, sorted by account, Region and operation.
    #[must_use]
    pub fn view(&self) -> Vec<QuotaKeyView> {
        let queues: Vec<_> = {
            let state = self.state.lock();
            state
                .queues
                .iter()
                .map(|(quota_key, queue)| (state.quota(quota_key).1, Arc::clone(queue)))
                .collect()
        };
        let mut views: Vec<_> = queues.iter().map(|(source, queue)| queue.view(*source)).collect();
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
        priority: Priority,
        deadline: StdInstant,
    ) -> Result<UpstreamPermit, AcquireError> {
        let waiter = Waiter { tenant: tenant.clone(), priority, deadline: Instant::from_std(deadline) };
        self.queue(quota_key).permit(waiter).await
    }

    fn queue(&self, quota_key: &QuotaKey) -> Arc<QuotaQueue> {
        let mut state = self.state.lock();
        if let Some(queue) = state.queues.get(quota_key) {
            return queue;
        }
        let now = Instant::now();
        let per_second = state.quota(quota_key).0;
        let queue = QuotaQueue::new(quota_key.clone(), per_second, self.waiting, self.shared.clone(), now);
        state.queues.insert(quota_key.clone(), queue, |queue| queue.is_idle(now))
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

    fn rate(&self, quota_key: &QuotaKey) -> f64 {
        f64::from(self.state.lock().quota(quota_key).0.get())
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

// === impl LimiterState ===

impl LimiterState {
    /// The calls per second of this quota key, and their source.
    fn quota(&self, quota_key: &QuotaKey) -> (NonZeroU32, QuotaSource) {
        self.upstream.of(quota_key, self.granted.get(&quota_key.location))
    }
}
