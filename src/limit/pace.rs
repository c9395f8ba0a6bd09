//! [`Pace`] kept in memory: each account's quota at AWS, shared fairly by the tenants that call there.
//!
//! A call goes at its turn, within its deadline, or is told at once that none comes in time.

mod lane;
mod queue;
mod rhythm;
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

use self::lane::{Asker, LaneState};
use super::{QuotaFrom, Upstreams, Waiting, locked, redis::Link, view::LaneView};
use crate::{
    domain::{association::Place, tenant::TenantId},
    ports::{
        limit::{Lane, NoTurn, Operation, Pace, Turn, Urgency},
        quotas::Granted,
    },
};

/// Lanes kept before those at rest are looked for.
const FIRST_SWEEP: usize = 256;

/// Gives out turns toward AWS, within this process or, where it was told so, among replicas.
#[derive(Debug)]
pub struct LocalPace {
    waiting: Waiting,
    shared: Option<Arc<Link>>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    upstream: Upstreams,
    /// What Service Quotas says; whoever gives it here also takes it back.
    granted: HashMap<Place, Granted>,
    lanes: HashMap<Lane, Arc<LaneState>>,
    sweep_at: usize,
}

// === impl LocalPace ===

impl LocalPace {
    /// With nothing sent yet.
    #[must_use]
    pub fn new(upstream: impl Into<Upstreams>, waiting: Waiting) -> Self {
        let known = Known {
            upstream: upstream.into(),
            granted: HashMap::new(),
            lanes: HashMap::new(),
            sweep_at: FIRST_SWEEP,
        };
        Self { waiting, shared: None, known: Mutex::new(known) }
    }

    /// The same, with each turn taken from what replicas share.
    #[must_use]
    pub fn shared(self, link: Arc<Link>) -> Self {
        Self { shared: Some(link), ..self }
    }

    /// Takes over quotas that were configured anew. Calls that wait stay where they are.
    pub fn set_upstream(&self, upstream: impl Into<Upstreams>) {
        let mut known = locked(&self.known);
        known.upstream = upstream.into();
        for (lane, state) in &known.lanes {
            state.set_quota(known.quota(lane).0);
        }
    }

    /// Takes over what Service Quotas says of a place, or forgets it. Calls that wait stay where they
    /// are.
    pub fn set_granted(&self, place: &Place, granted: Option<Granted>) {
        let mut known = locked(&self.known);
        match granted {
            Some(granted) => drop(known.granted.insert(place.clone(), granted)),
            None => drop(known.granted.remove(place)),
        }
        for operation in Operation::ALL {
            let lane = Lane { place: place.clone(), operation };
            if let Some(state) = known.lanes.get(&lane) {
                state.set_quota(known.quota(&lane).0);
            }
        }
    }

    /// How many lanes are remembered.
    #[must_use]
    pub fn tracked(&self) -> usize {
        locked(&self.known).lanes.len()
    }

    /// Every lane that is remembered, by account, Region and operation.
    #[must_use]
    pub fn view(&self) -> Vec<LaneView> {
        let lanes: Vec<_> = {
            let known = locked(&self.known);
            known.lanes.iter().map(|(lane, state)| (known.quota(lane).1, Arc::clone(state))).collect()
        };
        let mut views: Vec<_> = lanes.iter().map(|(from, lane)| lane.view(*from)).collect();
        views.sort_unstable_by(|one, other| {
            let key = |view: &LaneView| (view.account.clone(), view.region.clone(), view.operation.clone());
            key(one).cmp(&key(other))
        });
        views
    }

    async fn wait(
        &self,
        lane: &Lane,
        tenant: &TenantId,
        urgency: Urgency,
        deadline: StdInstant,
    ) -> Result<Turn, NoTurn> {
        let asker = Asker { tenant: tenant.clone(), urgency, deadline: Instant::from_std(deadline) };
        self.lane(lane).turn(asker).await
    }

    fn lane(&self, lane: &Lane) -> Arc<LaneState> {
        let mut known = locked(&self.known);
        if let Some(state) = known.lanes.get(lane) {
            return Arc::clone(state);
        }
        let now = Instant::now();
        if known.lanes.len() >= known.sweep_at {
            known.forget_idle(now);
        }
        let per_second = known.quota(lane).0;
        let state =
            Arc::new(LaneState::new(lane.clone(), per_second, self.waiting, self.shared.clone(), now));
        known.lanes.insert(lane.clone(), Arc::clone(&state));
        state
    }
}

#[async_trait]
impl Pace for LocalPace {
    async fn turn(&self, lane: &Lane, tenant: &TenantId, deadline: StdInstant) -> Result<Turn, NoTurn> {
        self.wait(lane, tenant, Urgency::Interactive, deadline).await
    }

    async fn bulk_turn(&self, lane: &Lane, tenant: &TenantId, deadline: StdInstant) -> Result<Turn, NoTurn> {
        self.wait(lane, tenant, Urgency::Bulk, deadline).await
    }
}

// === impl Known ===

impl Known {
    /// Calls a second of this lane, and where that is known from.
    fn quota(&self, lane: &Lane) -> (NonZeroU32, QuotaFrom) {
        self.upstream.of(lane, self.granted.get(&lane.place))
    }

    /// Runs again only once as many more have come, so that its cost is spread over them.
    fn forget_idle(&mut self, now: Instant) {
        self.lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.is_idle(now));
        self.lanes.shrink_to(FIRST_SWEEP);
        self.sweep_at = (2 * self.lanes.len()).max(FIRST_SWEEP);
    }
}
