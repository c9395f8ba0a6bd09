//! The active faults.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rand::Rng as _;
use serde::Serialize;

use super::{
    plan::FaultPlan,
    spec::{Fault, RequestAttrs},
};

/// The maximum number of active faults.
pub(super) const MAX_FAULTS: usize = 1_000;

/// One active fault, with its counters.
#[derive(Clone, Debug, Serialize)]
pub struct ActiveFault {
    /// The id that [`Sandbox::fault`](crate::Sandbox::fault) returned.
    pub id: u64,
    /// The number of calls that matched its selectors, affected or not.
    #[serde(rename = "seen")]
    pub matches_seen: u32,
    /// The number of calls that it affected.
    #[serde(rename = "met")]
    pub affected: u32,
    /// The fault as it was added.
    pub fault: Fault,
}

/// All active faults.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The length of the list, so that calls take no lock while it is empty.
    count: AtomicUsize,
    active: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    faults: Vec<ActiveFault>,
}

// === impl ActiveFault ===

impl ActiveFault {
    /// Counts a matching call and returns whether the fault affects it.
    fn fires(&mut self) -> bool {
        self.matches_seen = self.matches_seen.saturating_add(1);
        let exhausted = self.fault.times.is_some_and(|times| self.affected >= times);
        if exhausted || self.matches_seen <= self.fault.skip {
            return false;
        }
        let percent = self.fault.percent.unwrap_or(100);
        if percent < 100 && rand::rng().random_range(0..100) >= percent {
            return false;
        }
        self.affected = self.affected.saturating_add(1);
        true
    }
}

// === impl Faults ===

impl Faults {
    /// Adds a fault and returns its id, or `None` if there are too many.
    pub(crate) fn add(&self, fault: Fault) -> Option<u64> {
        let mut state = self.active.lock();
        if state.faults.len() >= MAX_FAULTS {
            return None;
        }
        state.last_id += 1;
        let id = state.last_id;
        state.faults.push(ActiveFault { id, matches_seen: 0, affected: 0, fault });
        self.count.store(state.faults.len(), Ordering::Release);
        Some(id)
    }

    /// Removes one fault, or all of them.
    pub(crate) fn remove(&self, id: Option<u64>) {
        let mut state = self.active.lock();
        state.faults.retain(|active| id.is_some_and(|id| active.id != id));
        self.count.store(state.faults.len(), Ordering::Release);
    }

    pub(crate) fn list(&self) -> Vec<ActiveFault> {
        self.active.lock().faults.clone()
    }

    /// Plans the effects on a call: the sum of all delays, and the first other effect before and after the
    /// operation.
    pub(crate) fn plan(&self, attrs: &RequestAttrs<'_>) -> FaultPlan {
        let mut plan = FaultPlan::default();
        if self.count.load(Ordering::Acquire) == 0 {
            return plan;
        }
        for active in &mut self.active.lock().faults {
            if active.fault.matches(attrs) && active.fires() {
                plan.ids.push(active.id);
                plan.add(&active.fault);
            }
        }
        plan
    }
}
