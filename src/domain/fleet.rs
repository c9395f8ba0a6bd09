//! The fleet: bulk jobs, their items, the selections that they and the encryption rules share, and coverage.

mod class_counts;
mod counts;
mod coverage;
mod creator;
mod item;
mod job;
pub(super) mod job_id;
mod safety;
mod selection;
mod settings;
mod state_machine;

pub use self::{
    class_counts::ClassCounts,
    counts::ItemCounts,
    coverage::{CoverageClass, CoverageCount, Finding, FindingKind, LocationCoverage},
    creator::Creator,
    item::{Failure, Item, ItemEnd, ItemKey, ItemState, PlannedItem},
    job::{BulkChange, Job, JobLocation, JobSpec, LocationPhase},
    job_id::{InvalidJobId, JobId},
    safety::{DEFAULT_MAX_FAILURES, Safety},
    selection::{CurrentKey, KeyChoice, KeyOverride, Selection},
    settings::FleetSettings,
    state_machine::{JobState, JobStatus, PauseReason, Refused},
};
