//! What the active faults together do to one call.

use std::time::Duration;

use rand::Rng as _;

use super::spec::{Effect, Fault, When};

/// What the faults do to one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultPlan {
    pub(crate) delay_before: Duration,
    pub(crate) delay_after: Duration,
    pub(crate) before: Option<Effect>,
    pub(crate) after: Option<Effect>,
    pub(crate) mutation: ResponseMutation,
    /// The ids of the faults that affect the call.
    pub(crate) ids: Vec<u64>,
}

/// What a fault changes in an otherwise successful response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ResponseMutation {
    #[default]
    None,
    ExpiredCredentials,
    WrongAccount(String),
}

// === impl FaultPlan ===

impl FaultPlan {
    /// Adds what one more fault does.
    pub(super) fn add(&mut self, fault: &Fault) {
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
