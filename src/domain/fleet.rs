//! The fleet: bulk jobs, their items, and the selections that they and the encryption rules share.

mod counts;
mod creator;
mod item;
mod job;
mod job_id;
mod safety;
mod selection;
mod state_machine;
mod text;

pub use self::{
    counts::ItemCounts,
    creator::Creator,
    item::{Failure, Item, ItemEnd, ItemKey, ItemState, PlannedItem},
    job::{BulkChange, Job, JobLocation, JobSpec, LocationPhase},
    job_id::{InvalidJobId, JobId},
    safety::{DEFAULT_MAX_FAILURES, Safety},
    selection::{CurrentKey, KeyChoice, KeyOverride, Selection},
    state_machine::{JobState, JobStatus, PauseReason, Refused},
};
