//! The limits and intervals of the fleet.

use std::time::Duration;

/// The settings of bulk jobs and encryption rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetSettings {
    /// How often encryption rules are evaluated.
    pub interval: Duration,
    /// The maximum number of items of a job.
    pub max_items: u64,
    /// The maximum number of jobs of a tenant that have not ended.
    pub max_open_jobs: u32,
    /// How long jobs are kept after they ended.
    pub retention: Duration,
}

// === impl FleetSettings ===

impl Default for FleetSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_mins(15),
            max_items: 1_000_000,
            max_open_jobs: 20,
            retention: Duration::from_hours(90 * 24),
        }
    }
}
