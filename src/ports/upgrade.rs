//! How far an upgrade of the store is. The store sets it, and the probes of a service that starts show it.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;

/// The shared progress of an upgrade. It has no step while nothing is upgraded.
#[derive(Clone, Debug, Default)]
pub struct UpgradeProgress(Arc<Mutex<Option<UpgradeStep>>>);

/// The step of an upgrade that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeStep {
    /// The number of the step.
    pub number: i64,
    /// The number of the last step.
    pub last: i64,
    /// The position in the log up to which the step has rewritten the events.
    pub done: u64,
    /// The position of the last event that the step rewrites. 0 for a step whose duration does not depend on the events.
    pub total: u64,
}

// === impl UpgradeProgress ===

impl UpgradeProgress {
    /// Shows another step, or that the upgrade has ended.
    pub fn set(&self, step: Option<UpgradeStep>) {
        *self.0.lock() = step;
    }

    /// The step that is running.
    #[must_use]
    pub fn step(&self) -> Option<UpgradeStep> {
        *self.0.lock()
    }
}

// === impl UpgradeStep ===

impl fmt::Display for UpgradeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} of {}", self.number, self.last)?;
        if self.total > 0 { write!(f, ", position {} of {}", self.done, self.total) } else { Ok(()) }
    }
}
