//! A bulk job with its locations.

use serde::{Deserialize, Serialize};

use super::{
    counts::ItemCounts,
    creator::Creator,
    item::Failure,
    job_id::JobId,
    safety::Safety,
    selection::{KeyChoice, Selection},
    state_machine::JobStatus,
};
use crate::domain::{arn::KmsKeyArn, association::Location, time::Timestamp};

/// What a job does, as its creator asked for it. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The resources to change.
    pub selection: Selection,
    /// The change.
    pub change: BulkChange,
    /// The limits of the job.
    pub safety: Safety,
    /// The creator's reason, which each change records.
    pub reason: Option<Box<str>>,
}

/// The change that a job makes of each resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BulkChange {
    /// Sets a key.
    SetKey(KeyChoice),
    /// Removes the key.
    RemoveKey,
    /// Gives each changed resource of another job the key that it had before.
    Revert,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The job's id.
    pub id: JobId,
    /// The principal that the job acts for.
    pub creator: Creator,
    /// What the job does.
    pub spec: JobSpec,
    /// The state.
    pub status: JobStatus,
    /// The number of items by state.
    pub counts: ItemCounts,
    /// When the job was created.
    pub created: Timestamp,
    /// The job that this one reverts.
    pub revert_of: Option<JobId>,
    /// The encryption rule that created the job.
    pub rule: Option<Box<str>>,
    /// Why the job could not be planned or run.
    pub failure: Option<Failure>,
}

/// One account and Region of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLocation {
    /// The number of the location in the job, from 0.
    pub number: u32,
    /// The account and Region.
    pub location: Location,
    /// How far the location is.
    pub phase: LocationPhase,
    /// The key that the items get if they have none of their own. `None` removes the key.
    pub key: Option<KmsKeyArn>,
    /// The number of items by state.
    pub counts: ItemCounts,
    /// Why the location cannot be entered.
    pub failure: Option<Failure>,
}

/// How far a location is. The store keeps the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LocationPhase {
    /// Its resources have to be read.
    ToPlan = 0,
    /// Its items are known.
    Planned = 1,
}

// === impl Job ===

impl Job {
    /// The tag of the job's current version, for `etag`.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("{:x}", self.status.version)
    }
}

// === impl LocationPhase ===

impl LocationPhase {
    /// The number in the store.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }
}
