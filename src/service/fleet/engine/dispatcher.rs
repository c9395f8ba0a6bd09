//! Claims locations of jobs and starts a task for each. It also confirms the claims, and moves jobs from state
//! to state as time passes and their locations end.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use tokio::time::{self, MissedTickBehavior};
use tracing::Instrument as _;

use super::{
    job_run::JobRun,
    progress::{ProgressMonitor, queue_age},
    state::Engine,
    task::LocationTask,
    worker::Worker,
};
use crate::{
    domain::{
        fleet::{Failure, ItemState, JobId, JobState, JobStatus, PauseReason, Selection},
        time::Timestamp,
    },
    ports::{
        Unavailable,
        bulk::{ClaimedLocation, OpenJob, Transition},
        coverage::TenantLocation,
    },
    service::{
        error::{Error, FleetError},
        shared::upstream::now,
    },
};

/// How often the queue is read if nothing wakes the dispatcher.
const TICK: Duration = Duration::from_millis(250);
/// How often claims are confirmed.
const CONFIRM_INTERVAL: Duration = Duration::from_millis(750);
/// The maximum number of locations that this process works on at the same time.
const MAX_LOCATIONS: usize = 512;
/// The maximum number of locations claimed at once, so that replicas share them.
const MAX_CLAIMS: usize = 32;
/// How often ended jobs are deleted.
const RETENTION_INTERVAL: Duration = Duration::from_mins(1);
/// How often the coverage is cleaned, in rounds of [`RETENTION_INTERVAL`].
const COVERAGE_ROUNDS: u32 = 60;
/// The number of items that are deleted in one step.
const DELETE_BATCH: u32 = 2_000;

impl Engine {
    /// Works on jobs until `stop` resolves, then waits for the changes in flight, stores their outcomes and gives
    /// up all claims.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let confirming = tokio::spawn({
            let engine = Arc::clone(&self);
            async move { engine.confirm_claims().await }
        });
        let retention = tokio::spawn({
            let engine = Arc::clone(&self);
            async move { engine.delete_ended_jobs().await }
        });
        tokio::select! {
            () = stop => {}
            () = self.dispatch() => {}
        }
        self.stopping.cancel();
        self.locations.close();
        self.locations.wait().await;
        retention.abort();
        confirming.abort();
    }

    /// Confirms the claims for as long as the engine works. With a single process, once suffices.
    async fn confirm_claims(&self) {
        let single = self.fleet.ports.queue.is_single_node();
        let mut ticks = time::interval(CONFIRM_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.worker.confirm().await {
                Ok(()) if single => return,
                Ok(()) => {}
                Err(error) => warn(&error, "the claims of bulk jobs cannot be confirmed; retrying"),
            }
        }
    }

    async fn dispatch(self: &Arc<Self>) {
        let mut failing = false;
        let mut progress = ProgressMonitor::default();
        for state in ItemState::ALL {
            metrics::counter!("logkey_bulk_items_total", "state" => state.as_str()).absolute(0);
        }
        loop {
            let result = self.tick(&mut progress).await;
            match &result {
                Err(error) if !failing => warn(error, "bulk jobs cannot be read; retrying"),
                Ok(()) | Err(_) => {}
            }
            failing = result.is_err();
            let _woken = time::timeout(TICK, self.fleet.changed.notified()).await;
        }
    }

    /// Reads the open jobs, moves them on, and claims work.
    async fn tick(self: &Arc<Self>, progress: &mut ProgressMonitor) -> Result<(), Unavailable> {
        let open = self.fleet.ports.queue.open_jobs().await?;
        self.update_states(&open);
        report(&open, progress.observe(&open, now()), self.state.ports.clock.now());
        for job in &open {
            if let Some(mut transition) = self.next_transition(job) {
                if transition.failure.is_some() {
                    transition.failure = Some(self.failure_of_locations(job.id).await?);
                }
                let _raced = self.fleet.ports.jobs.transition(job.id, &transition).await?;
                if let Some(run) = self.jobs.lock().get(&job.id) {
                    run.set_state(transition.status.state);
                }
            }
        }
        let worker = self.worker.get();
        if !open.is_empty() && worker.has_lease() {
            self.claim(&worker).await?;
        }
        Ok(())
    }

    fn update_states(&self, open: &[OpenJob]) {
        let open: HashMap<JobId, JobState> = open.iter().map(|job| (job.id, job.status.state)).collect();
        self.jobs.lock().retain(|id, run| {
            // A job that is no longer open has ended. What its locations still do does not depend on how.
            run.set_state(open.get(id).copied().unwrap_or(JobState::Cancelled));
            Arc::strong_count(run) > 1
        });
    }

    /// What becomes of a job now. `None` if nothing changes.
    fn next_transition(&self, open: &OpenJob) -> Option<Transition> {
        let OpenJob { status, safety, counts, .. } = open;
        let now = self.state.ports.clock.now();
        let tenant = self.state.ports.rules.current_tenant(&open.tenant);
        let suspended = tenant.is_none_or(|tenant| tenant.suspended);
        let plain = |status| Transition { status, failure: None, retries: false };
        if let Some(status) = status.tick(safety, suspended, now) {
            return Some(plain(status));
        }
        match status.state {
            JobState::Planning if open.to_plan == 0 && open.failed_locations == open.locations => {
                let failure = Some(self.no_location());
                let status = status.ended(JobState::Failed, now);
                Some(Transition { failure, ..plain(status) })
            }
            JobState::Planning if open.to_plan == 0 => Some(plain(status.planned(safety, now))),
            JobState::Running if open.to_plan == 0 && counts.open() == 0 => {
                let state = JobStatus::final_state(counts, open.failed_locations > 0);
                Some(plain(status.ended(state, now)))
            }
            JobState::Planning
            | JobState::Planned
            | JobState::Running
            | JobState::Paused
            | JobState::Succeeded
            | JobState::CompletedWithFailures
            | JobState::Cancelled
            | JobState::Failed => None,
        }
    }

    /// Why no location of a job can be entered: the reason that all of them have.
    async fn failure_of_locations(&self, id: JobId) -> Result<Failure, Unavailable> {
        let locations = self.fleet.ports.jobs.locations(id).await?;
        let mut failures = locations.into_iter().filter_map(|location| location.failure);
        let Some(first) = failures.next() else { return Ok(self.no_location()) };
        let is_common = failures.all(|failure| failure.reason == first.reason);
        Ok(if is_common { first } else { self.no_location() })
    }

    fn no_location(&self) -> Failure {
        self.fleet.ports.texts.failure(&Error::Fleet(FleetError::NoLocation))
    }

    async fn claim(self: &Arc<Self>, worker: &Arc<Worker>) -> Result<(), Unavailable> {
        let free = MAX_LOCATIONS.saturating_sub(self.locations.len()).min(MAX_CLAIMS);
        if free == 0 {
            return Ok(());
        }
        let limit = u32::try_from(free).unwrap_or(u32::MAX);
        let claimed = self.fleet.ports.queue.claim(worker.id, limit).await?;
        let more = claimed.len() == free;
        for ClaimedLocation { key, location } in claimed {
            let Some(run) = self.job_run(key.job).await? else { continue };
            let span = tracing::info_span!(
                "bulk",
                job = %key.job,
                account = %location.location.account,
                region = %location.location.region
            );
            let task =
                LocationTask { engine: Arc::clone(self), worker: Arc::clone(worker), run, key, location };
            self.locations.spawn(task.run().instrument(span));
        }
        if more {
            self.fleet.changed.notify_one();
        }
        Ok(())
    }

    async fn job_run(&self, id: JobId) -> Result<Option<Arc<JobRun>>, Unavailable> {
        if let Some(run) = self.jobs.lock().get(&id) {
            return Ok(Some(Arc::clone(run)));
        }
        let Some(job) = self.fleet.ports.jobs.find(id).await? else { return Ok(None) };
        let mut jobs = self.jobs.lock();
        Ok(Some(Arc::clone(jobs.entry(id).or_insert_with(|| Arc::new(JobRun::new(job))))))
    }

    /// Deletes jobs that ended long ago, and what is no longer known of the coverage, for as long as the engine
    /// works.
    async fn delete_ended_jobs(&self) {
        let mut ticks = time::interval(RETENTION_INTERVAL);
        for round in 0_u32.. {
            ticks.tick().await;
            let before = self.state.ports.clock.now().minus(self.fleet.settings.retention);
            if round.is_multiple_of(COVERAGE_ROUNDS)
                && let Err(error) = self.delete_coverage(before).await
            {
                warn(&error, "coverage that no longer exists cannot be deleted; retrying");
            }
            loop {
                match self.fleet.ports.jobs.delete_ended(before, DELETE_BATCH).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        warn(&error, "ended bulk jobs cannot be deleted; retrying");
                        break;
                    }
                }
            }
        }
    }
}

impl Engine {
    /// Deletes the coverage of locations that no tenant has any more, and days of the history before this time.
    async fn delete_coverage(&self, before: Timestamp) -> Result<(), Unavailable> {
        let tenants = self.state.ports.rules.current().tenants().all();
        let locations = tenants.iter().flat_map(|tenant| {
            let granted = Selection::default().locations(tenant).into_iter();
            granted.map(|location| TenantLocation { tenant: tenant.id.clone(), location })
        });
        let coverage = &self.fleet.ports.coverage;
        coverage.retain(&locations.collect::<Vec<_>>()).await?;
        coverage.delete_history(before).await
    }
}

/// Updates the gauges of jobs, of their waiting items, of the longest time without progress, and of the queue.
#[expect(clippy::cast_precision_loss, reason = "a gauge of at most a few million items")]
fn report(open: &[OpenJob], stalled: Duration, now: Timestamp) {
    for state in [JobState::Planning, JobState::Planned, JobState::Running, JobState::Paused] {
        let jobs = open.iter().filter(|job| job.status.state == state).count();
        metrics::gauge!("logkey_bulk_jobs", "state" => state.as_str()).set(jobs as f64);
    }
    for reason in PauseReason::ALL {
        let jobs = open.iter().filter(|job| job.status.pause_reason == Some(reason)).count();
        metrics::gauge!("logkey_bulk_paused_jobs", "reason" => reason.as_str()).set(jobs as f64);
    }
    for state in [ItemState::Waiting, ItemState::Running] {
        let items: u64 = open.iter().map(|job| job.counts.of(state)).sum();
        metrics::gauge!("logkey_bulk_open_items", "state" => state.as_str()).set(items as f64);
    }
    metrics::gauge!("logkey_bulk_stalled_seconds").set(stalled.as_secs_f64());
    metrics::gauge!("logkey_bulk_queue_age_seconds").set(queue_age(open, now).as_secs_f64());
}

fn warn(error: &Unavailable, message: &'static str) {
    tracing::warn!(error = error as &dyn std::error::Error, "{message}");
}
