//! The work on one claimed location, as its parts share it.

use std::sync::Arc;

use super::{
    job_run::{CallParts, JobRun},
    state::Engine,
    worker::Worker,
};
use crate::{
    domain::fleet::{Failure, ItemEnd, ItemState, JobLocation, JobState},
    ports::bulk::{LocationKey, QueueStep, StepOutcome},
    service::error::Error,
};

/// The work on one location.
pub(super) struct LocationTask {
    pub(super) engine: Arc<Engine>,
    /// The worker that has the claim.
    pub(super) worker: Arc<Worker>,
    pub(super) run: Arc<JobRun>,
    pub(super) key: LocationKey,
    pub(super) location: JobLocation,
}

/// The worker has lost its claim, and another one may have it.
#[derive(Debug)]
pub(super) struct ClaimLost;

// === impl LocationTask ===

impl LocationTask {
    /// What all calls for the location share.
    pub(super) fn call_parts(&self) -> CallParts<'_> {
        let engine = &self.engine;
        CallParts { state: &engine.state, lease: &self.worker.lease, timeout: engine.request_timeout }
    }

    /// Whether the job is neither in this state nor running, or the service stops.
    pub(super) fn is_stopped_for(&self, state: JobState) -> bool {
        let current = self.run.state();
        (current != state && current != JobState::Running) || self.engine.stopping.is_cancelled()
    }

    /// Whether the job does not run, or the service stops.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped_for(JobState::Running)
    }

    /// Stores the ends of items.
    pub(super) async fn store(&self, ended: Vec<ItemEnd>) -> Result<(), ClaimLost> {
        if ended.is_empty() {
            return Ok(());
        }
        for end in &ended {
            metrics::counter!("logkey_bulk_items_total", "state" => end.state.as_str()).increment(1);
        }
        let failed = ended.iter().any(|end| matches!(end.state, ItemState::Failed | ItemState::Unknown));
        let step = QueueStep { at: self.key, ended, claim: Vec::new() };
        match self.worker.advance(step).await {
            StepOutcome::Done | StepOutcome::NotClaimed => {}
            StepOutcome::ClaimLost => return Err(ClaimLost),
        }
        if failed {
            // The job may be paused now. The dispatcher tells the changes that wait for their permit.
            self.engine.fleet.changed.notify_one();
        }
        Ok(())
    }

    /// The text of an error, as the caller of a single change would get it.
    pub(super) fn failure(&self, error: &Error) -> Failure {
        self.engine.fleet.ports.texts.failure(error)
    }
}
