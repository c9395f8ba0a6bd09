//! Starts, pauses, resumes, cancels and retries jobs.

use super::{
    access::{Access, record_change, require_change_scopes},
    view::JobView,
};
use crate::{
    domain::{
        fleet::{Job, JobId, JobStatus, Refused},
        time::Timestamp,
    },
    ports::bulk::Transition,
    service::{
        context::Context,
        error::{Error, FleetError},
        fleet::ports::{Fleet, JobScope},
    },
};

/// How often a transition is computed again, because another one came first.
const MAX_ATTEMPTS: u32 = 10;

/// A call that changes the state of a job.
#[derive(Clone, Copy)]
struct Control<'c> {
    /// The etag that the job must have. Empty accepts every one.
    etag: &'c str,
    /// Whether the call makes the job send changes.
    sends: bool,
    /// Whether failed items wait again.
    retries: bool,
    next: fn(&Job, Timestamp) -> Result<JobStatus, Refused>,
}

impl Fleet {
    /// Runs a planned job, if it has this etag. An empty etag accepts every plan.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not, or the job is not planned.
    pub async fn start(&self, cx: Context, id: JobId, etag: &str) -> Result<JobView, Error> {
        let next = |job: &Job, now| job.status.start(&job.spec.safety, now);
        self.control(cx, id, Control { etag, sends: true, retries: false, next }).await
    }

    /// Pauses a job.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not, or the job does not run.
    pub async fn pause(&self, cx: Context, id: JobId) -> Result<JobView, Error> {
        let next = |job: &Job, _now| job.status.pause();
        self.control(cx, id, Control { etag: "", sends: false, retries: false, next }).await
    }

    /// Continues a paused job.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not, or the job is not paused.
    pub async fn resume(&self, cx: Context, id: JobId) -> Result<JobView, Error> {
        let next = |job: &Job, now| job.status.resume(&job.spec.safety, &job.counts, now);
        self.control(cx, id, Control { etag: "", sends: true, retries: false, next }).await
    }

    /// Cancels a job.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not, or the job has ended.
    pub async fn cancel(&self, cx: Context, id: JobId) -> Result<JobView, Error> {
        let next = |job: &Job, now| job.status.cancel(now);
        self.control(cx, id, Control { etag: "", sends: false, retries: false, next }).await
    }

    /// Runs the failed items of a job again.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not, or the job has not ended and is not paused.
    pub async fn retry(&self, cx: Context, id: JobId) -> Result<JobView, Error> {
        let next = |job: &Job, now| job.status.retry(&job.spec.safety, now);
        self.control(cx, id, Control { etag: "", sends: true, retries: true, next }).await
    }

    async fn control(&self, mut cx: Context, id: JobId, control: Control<'_>) -> Result<JobView, Error> {
        let changed = self.try_control(&mut cx, id, control).await;
        cx.record_error(changed)
    }

    async fn try_control(&self, cx: &mut Context, id: JobId, control: Control<'_>) -> Result<JobView, Error> {
        let Control { etag, sends, retries, next } = control;
        for _ in 0..MAX_ATTEMPTS {
            let job = self.job(cx, id, Access::Change).await?;
            if sends {
                require_change_scopes(cx, &job.spec)?;
            }
            if !etag.is_empty() && etag != job.etag() {
                return Err(Error::Fleet(FleetError::EtagMismatch { current: job.etag() }));
            }
            let status = next(&job, cx.ports().clock.now()).map_err(FleetError::State)?;
            let transition = Transition { status, failure: None, retries };
            if cx.in_turn(self.ports.jobs.transition(id, &transition)).await? {
                if sends && job.rule.is_some() {
                    // The rule's findings are out of date when the job has ended again.
                    self.rule_jobs.lock().entry(id).or_insert(JobScope::Tenant);
                }
                self.changed.notify_one();
                record_change(cx).await?;
                let found = cx.in_turn(self.ports.jobs.find(id)).await?;
                return self.view(cx, found.unwrap_or(Job { status, ..job })).await;
            }
        }
        Err(Error::Fleet(FleetError::Contended))
    }
}
