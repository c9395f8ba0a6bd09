//! What became of the changes that earlier evaluations started.

use std::collections::HashMap;

use crate::{
    domain::{
        association::Resource,
        fleet::{EncryptionRule, Failure, ItemState, Job, JobId, JobState, PauseReason},
        tenant::TenantId,
    },
    ports::{
        Unavailable,
        bulk::{ItemFilter, JobFilter},
    },
    service::fleet::ports::Fleet,
};

/// The maximum number of items that are read at once.
const PAGE: u32 = 500;
/// The maximum number of open jobs of a tenant that are read.
const MAX_JOBS: u32 = 500;

/// The changes of the tenant's rules that have not ended, and those that failed.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Resources that a job is going to change.
    pub(super) open: HashMap<Resource, JobId>,
    /// Jobs that their failure limit paused, with nothing in flight.
    pub(super) paused: Vec<Job>,
    /// Resources whose last change failed.
    pub(super) failed: HashMap<Resource, FailedAttempt>,
}

/// A change that failed.
#[derive(Debug)]
pub(super) struct FailedAttempt {
    pub(super) job: JobId,
    pub(super) failure: Option<Failure>,
}

// === impl Attempts ===

impl Attempts {
    /// Reads the attempts of these rules of a tenant.
    pub(super) async fn load(
        fleet: &Fleet,
        tenant: &TenantId,
        rules: &[EncryptionRule],
    ) -> Result<Self, Unavailable> {
        let mut attempts = Self::default();
        if rules.is_empty() {
            return Ok(attempts);
        }
        let states = JobState::ALL.into_iter().filter(|state| !state.has_ended()).collect();
        let filter = JobFilter { tenant: Some(tenant.clone()), states, before: None };
        for job in fleet.ports.jobs.list(&filter, MAX_JOBS).await? {
            let Some(rule) = &job.rule else { continue };
            for (resource, _) in items(fleet, job.id, &[ItemState::Waiting, ItemState::Running]).await? {
                attempts.open.insert(resource, job.id);
            }
            let is_paused = job.status.pause_reason == Some(PauseReason::FailureLimit);
            let enforces = rules.iter().any(|it| it.id.as_str() == &**rule && it.enforces());
            if is_paused && enforces && job.counts.running == 0 {
                attempts.paused.push(job);
            }
        }
        let last = rules.iter().filter_map(|rule| rule.status.evaluation.as_ref()?.job);
        for job in last {
            for (resource, failure) in items(fleet, job, &[ItemState::Failed, ItemState::Unknown]).await? {
                attempts.failed.insert(resource, FailedAttempt { job, failure });
            }
        }
        Ok(attempts)
    }
}

/// The items of a job in these states.
async fn items(
    fleet: &Fleet,
    job: JobId,
    states: &[ItemState],
) -> Result<Vec<(Resource, Option<Failure>)>, Unavailable> {
    let filter = ItemFilter { job, states: states.to_vec(), reasons: Vec::new(), locations: None };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = fleet.ports.jobs.items(&filter, after, PAGE).await?;
        after = page.last().map(|item| item.key);
        found.extend(page.into_iter().map(|item| (item.resource, item.failure)));
        if after.is_none() {
            return Ok(found);
        }
    }
}
