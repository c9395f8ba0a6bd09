//! The faults that are set, and what they have in store for a call.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::Rng as _;
use serde::Serialize;

use super::{Effect, Fault, When};
use crate::sandbox::wire::Service;

/// Faults that can be set at once.
pub(super) const MAX_FAULTS: usize = 1_000;

/// One fault that is set, and how it has fared.
#[derive(Clone, Debug, Serialize)]
pub struct ActiveFault {
    /// Its number.
    pub id: u64,
    /// Calls that fitted it, met or let pass.
    #[serde(rename = "seen")]
    pub matches_seen: u32,
    /// Calls that it has met.
    pub met: u32,
    /// The fault.
    pub fault: Fault,
}

/// All faults that are set.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// So that calls need no lock while there are none.
    count: AtomicUsize,
    active: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    faults: Vec<ActiveFault>,
}

/// What one call has coming.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultPlan {
    pub(crate) delay_before: Duration,
    pub(crate) delay_after: Duration,
    pub(crate) before: Option<Effect>,
    pub(crate) after: Option<Effect>,
    pub(crate) mutation: ResponseMutation,
    /// The numbers of the faults that met the call.
    pub(crate) ids: Vec<u64>,
}

/// What a fault bends in an answer that is otherwise good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ResponseMutation {
    #[default]
    None,
    ExpiredCredentials,
    WrongAccount(String),
}

/// What faults look at in a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestAttrs<'a> {
    pub(crate) service: Service,
    pub(crate) operation: &'a str,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) role: &'a str,
    pub(crate) params: &'a serde_json::Map<String, serde_json::Value>,
}

// === impl Armed ===

impl ActiveFault {
    /// Counts a call that fits, and whether it is met.
    fn fires(&mut self) -> bool {
        self.matches_seen = self.matches_seen.saturating_add(1);
        let spent = self.fault.times.is_some_and(|times| self.met >= times);
        if spent || self.matches_seen <= self.fault.skip {
            return false;
        }
        let percent = self.fault.percent.unwrap_or(100);
        if percent < 100 && rand::rng().random_range(0..100) >= percent {
            return false;
        }
        self.met = self.met.saturating_add(1);
        true
    }
}

// === impl Faults ===

impl Faults {
    /// Sets one more; `None` where there are too many.
    pub(crate) fn add(&self, fault: Fault) -> Option<u64> {
        let mut state = self.locked();
        if state.faults.len() >= MAX_FAULTS {
            return None;
        }
        state.last_id += 1;
        let id = state.last_id;
        state.faults.push(ActiveFault { id, matches_seen: 0, met: 0, fault });
        self.count.store(state.faults.len(), Ordering::Release);
        Some(id)
    }

    /// Takes one back, or all.
    pub(crate) fn remove(&self, id: Option<u64>) {
        let mut state = self.locked();
        state.faults.retain(|active| id.is_some_and(|id| active.id != id));
        self.count.store(state.faults.len(), Ordering::Release);
    }

    pub(crate) fn list(&self) -> Vec<ActiveFault> {
        self.locked().faults.clone()
    }

    /// What this call has coming: all waits, and the first other effect of each moment.
    pub(crate) fn plan(&self, attrs: &RequestAttrs<'_>) -> FaultPlan {
        let mut plan = FaultPlan::default();
        if self.count.load(Ordering::Acquire) == 0 {
            return plan;
        }
        for active in &mut self.locked().faults {
            if active.fault.fits(attrs) && active.fires() {
                plan.ids.push(active.id);
                plan.add(&active.fault);
            }
        }
        plan
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Plan ===

impl FaultPlan {
    fn add(&mut self, fault: &Fault) {
        let (delay, effect) = match fault.when {
            When::Before => (&mut self.delay_before, &mut self.before),
            When::After => (&mut self.delay_after, &mut self.after),
        };
        match &fault.effect {
            Effect::Latency { ms, jitter_ms } => {
                let jitter = rand::rng().random_range(0..=*jitter_ms);
                *delay = delay.saturating_add(Duration::from_millis(ms.saturating_add(jitter)));
            }
            Effect::ExpiredCredentials => self.mutation = ResponseMutation::ExpiredCredentials,
            Effect::WrongAccount(other) => self.mutation = ResponseMutation::WrongAccount(other.clone()),
            other @ (Effect::Throttle
            | Effect::Error { .. }
            | Effect::Hang
            | Effect::Reset
            | Effect::Garbage
            | Effect::Truncate
            | Effect::Drip { .. }) => {
                effect.get_or_insert_with(|| other.clone());
            }
        }
    }
}
