//! What became of the changes that earlier evaluations started.

use std::collections::HashMap;

use crate::{
    domain::{
        arn::KmsKeyArn,
        association::Resource,
        fleet::{EncryptionRule, Failure, Item, ItemState, Job, JobId, JobState, PauseReason},
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
    pub(super) open: HashMap<Resource, OpenAttempt>,
    /// Jobs that their failure limit paused, with nothing in flight.
    pub(super) paused: Vec<Job>,
    /// Resources whose last change failed.
    pub(super) failed: HashMap<Resource, FailedAttempt>,
}

/// A change that a job is going to make.
#[derive(Debug)]
pub(super) struct OpenAttempt {
    pub(super) job: JobId,
    key: Option<KmsKeyArn>,
    is_running: bool,
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
            for item in items(fleet, job.id, &[ItemState::Waiting, ItemState::Running]).await? {
                let is_running = item.state == ItemState::Running;
                let open = OpenAttempt { job: job.id, key: item.new_key, is_running };
                attempts.open.insert(item.resource, open);
            }
            let is_paused = job.status.pause_reason == Some(PauseReason::FailureLimit);
            let enforces = rules.iter().any(|it| it.id.as_str() == &**rule && it.enforces());
            if is_paused && enforces && job.counts.running == 0 {
                attempts.paused.push(job);
            }
        }
        let last = rules.iter().filter_map(|rule| rule.status.evaluation.as_ref()?.job);
        for job in last {
            attempts.add_failed(fleet, job).await?;
        }
        Ok(attempts)
    }

    /// Adds the changes of a job that failed.
    pub(super) async fn add_failed(&mut self, fleet: &Fleet, job: JobId) -> Result<(), Unavailable> {
        for Item { resource, failure, .. } in
            items(fleet, job, &[ItemState::Failed, ItemState::Unknown]).await?
        {
            self.failed.insert(resource, FailedAttempt { job, failure });
        }
        Ok(())
    }
}

// === impl OpenAttempt ===

impl OpenAttempt {
    /// Whether the job certainly gives the resource this key, if nobody else changes it meanwhile.
    pub(super) fn will_set(&self, key: &KmsKeyArn) -> bool {
        // A running change may have been made already, before the resource was read.
        !self.is_running && self.key.as_ref() == Some(key)
    }
}

/// The items of a job in these states.
async fn items(fleet: &Fleet, job: JobId, states: &[ItemState]) -> Result<Vec<Item>, Unavailable> {
    let filter = ItemFilter { job, states: states.to_vec(), reasons: Vec::new(), locations: None };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = fleet.ports.jobs.items(&filter, after, PAGE).await?;
        after = page.last().map(|item| item.key);
        found.extend(page);
        if after.is_none() {
            return Ok(found);
        }
    }
}
