//! The states of a bulk job and the transitions between them. The store applies a transition only if the
//! job's version is still the one that it was computed from.

use thiserror::Error;

use super::{counts::ItemCounts, safety::Safety};
use crate::domain::time::Timestamp;

/// The state of a job. The store keeps the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// The job's locations are being read.
    Planning = 1,
    /// The plan is complete and the job waits to be started.
    Planned = 2,
    /// The items are being changed.
    Running = 3,
    /// No further item is started until the job continues.
    Paused = 4,
    /// Every item has the planned key.
    Succeeded = 5,
    /// The job ended, and some items do not have the planned key.
    CompletedWithFailures = 6,
    /// The caller cancelled the job.
    Cancelled = 7,
    /// The job could not be planned or run at all.
    Failed = 8,
}

/// Why a job is paused. The store keeps the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PauseReason {
    /// More items failed than [`Safety::max_failures`] allows.
    FailureLimit = 1,
    /// The canary succeeded.
    Canary = 2,
    /// The window for calls is closed.
    Window = 3,
    /// A caller paused the job.
    Caller = 4,
    /// The job's tenant is suspended.
    TenantSuspended = 5,
}

/// The part of a job that transitions change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// The state.
    pub state: JobState,
    /// Why the job is paused.
    pub pause_reason: Option<PauseReason>,
    /// The number of transitions so far. The job's etag.
    pub version: u64,
    /// Whether the job runs as soon as it is planned.
    pub start: bool,
    /// When the job was started for the first time.
    pub started: Option<Timestamp>,
    /// When the job ended.
    pub ended: Option<Timestamp>,
    /// The failures that no longer count, because the job was resumed after them.
    pub failures_before: u64,
    /// Whether the job still has to pause after its canary.
    pub canary_pending: bool,
}

/// Why a call does not fit the state of the job. The message says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the job is {}: {}", state.as_str(), advice)]
pub struct Refused {
    /// The state of the job.
    pub state: JobState,
    /// What to do.
    pub advice: &'static str,
}

// === impl JobState ===

impl JobState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Planning,
        Self::Planned,
        Self::Running,
        Self::Paused,
        Self::Succeeded,
        Self::CompletedWithFailures,
        Self::Cancelled,
        Self::Failed,
    ];

    /// The number in the store.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The state with this number in the store.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// The name in messages and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "PLANNING",
            Self::Planned => "PLANNED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Succeeded => "SUCCEEDED",
            Self::CompletedWithFailures => "COMPLETED_WITH_FAILURES",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
        }
    }

    /// Whether the job has ended.
    #[must_use]
    pub fn has_ended(self) -> bool {
        match self {
            Self::Succeeded | Self::CompletedWithFailures | Self::Cancelled | Self::Failed => true,
            Self::Planning | Self::Planned | Self::Running | Self::Paused => false,
        }
    }
}

// === impl PauseReason ===

impl PauseReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::FailureLimit, Self::Canary, Self::Window, Self::Caller, Self::TenantSuspended];

    /// The number in the store.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The reason with this number in the store.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.number() == number)
    }

    /// The name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FailureLimit => "FAILURE_LIMIT",
            Self::Canary => "CANARY",
            Self::Window => "WINDOW",
            Self::Caller => "CALLER",
            Self::TenantSuspended => "TENANT_SUSPENDED",
        }
    }
}

// === impl JobStatus ===

impl JobStatus {
    /// The status of a new job.
    #[must_use]
    pub fn new(start: bool, safety: &Safety) -> Self {
        Self {
            state: JobState::Planning,
            pause_reason: None,
            version: 1,
            start,
            started: None,
            ended: None,
            failures_before: 0,
            canary_pending: safety.canary > 0,
        }
    }

    /// A caller starts the planned job.
    ///
    /// # Errors
    ///
    /// [`Refused`] unless the job is planned.
    pub fn start(self, safety: &Safety, now: Timestamp) -> Result<Self, Refused> {
        let advice = match self.state {
            JobState::Planned => return self.run(safety, now),
            JobState::Planning => "wait until it is PLANNED, then start it",
            JobState::Running => "it is started already",
            JobState::Paused => "resume it",
            JobState::Succeeded
            | JobState::CompletedWithFailures
            | JobState::Cancelled
            | JobState::Failed => "retry it, or create a new job",
        };
        Err(self.refused(advice))
    }

    /// A caller pauses the job.
    ///
    /// # Errors
    ///
    /// [`Refused`] unless the job runs, or waits for its window or its tenant.
    pub fn pause(self) -> Result<Self, Refused> {
        let advice = match (self.state, self.pause_reason) {
            (JobState::Running, _)
            | (JobState::Paused, Some(PauseReason::Window | PauseReason::TenantSuspended)) => {
                return Ok(self.paused(PauseReason::Caller));
            }
            (JobState::Paused, _) => "it is paused already",
            (JobState::Planning | JobState::Planned, _) => "it sends nothing yet; start it, or cancel it",
            (
                JobState::Succeeded
                | JobState::CompletedWithFailures
                | JobState::Cancelled
                | JobState::Failed,
                _,
            ) => "it has ended",
        };
        Err(self.refused(advice))
    }

    /// A caller resumes the job. Earlier failures no longer count, and a canary that was reached is over.
    ///
    /// # Errors
    ///
    /// [`Refused`] unless the job is paused and can continue.
    pub fn resume(self, safety: &Safety, counts: &ItemCounts, now: Timestamp) -> Result<Self, Refused> {
        let advice = match (self.state, self.pause_reason) {
            (JobState::Paused, Some(PauseReason::TenantSuspended)) => {
                "it continues when its tenant is no longer suspended"
            }
            (JobState::Paused, Some(PauseReason::Window)) if !safety.window_is_over(now) => {
                "it continues when its window opens"
            }
            (JobState::Paused, _) => {
                let canary_pending = self.is_canary_due();
                let failures_before = counts.failures();
                return Self { failures_before, canary_pending, ..self }.run(safety, now);
            }
            (JobState::Planning | JobState::Planned, _) => "it is not paused; start it when it is PLANNED",
            (JobState::Running, _) => "it runs already",
            (
                JobState::Succeeded
                | JobState::CompletedWithFailures
                | JobState::Cancelled
                | JobState::Failed,
                _,
            ) => "it has ended; retry it, or create a new job",
        };
        Err(self.refused(advice))
    }

    /// A caller cancels the job.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the job has ended.
    pub fn cancel(self, now: Timestamp) -> Result<Self, Refused> {
        if self.state.has_ended() {
            return Err(self.refused("it has ended"));
        }
        Ok(self.ended(JobState::Cancelled, now))
    }

    /// A caller retries the failed items of the job, and a canary that was reached is over. A job that could not be
    /// planned is planned again.
    ///
    /// # Errors
    ///
    /// [`Refused`] unless the job is paused or has ended.
    pub fn retry(self, safety: &Safety, now: Timestamp) -> Result<Self, Refused> {
        match (self.state, self.pause_reason) {
            (JobState::Paused, Some(PauseReason::TenantSuspended)) => {
                Err(self.refused("it continues when its tenant is no longer suspended"))
            }
            (JobState::Failed, _) => {
                let status = Self { state: JobState::Planning, start: true, ..self };
                Ok(Self { ended: None, failures_before: 0, ..status.next() })
            }
            (
                JobState::Paused
                | JobState::Succeeded
                | JobState::CompletedWithFailures
                | JobState::Cancelled,
                _,
            ) => {
                let canary_pending = self.is_canary_due();
                Self { start: true, failures_before: 0, canary_pending, ended: None, ..self }.run(safety, now)
            }
            (JobState::Planning | JobState::Planned | JobState::Running, _) => {
                Err(self.refused("pause it first, or wait until it has ended"))
            }
        }
    }

    /// The plan is complete.
    #[must_use]
    pub fn planned(self, safety: &Safety, now: Timestamp) -> Self {
        if self.start {
            return self.run(safety, now).unwrap_or_else(|_window_is_over| self.paused(PauseReason::Window));
        }
        Self { state: JobState::Planned, ..self }.next()
    }

    /// The job ended in this state.
    #[must_use]
    pub fn ended(self, state: JobState, now: Timestamp) -> Self {
        Self { state, pause_reason: None, ended: Some(now), ..self }.next()
    }

    /// The job pauses by itself.
    #[must_use]
    pub fn paused(self, reason: PauseReason) -> Self {
        Self { state: JobState::Paused, pause_reason: Some(reason), ..self }.next()
    }

    /// What time and the tenant make of the job: it waits while its window is closed or its tenant is
    /// suspended, and continues afterwards. `None` if nothing changes.
    #[must_use]
    pub fn tick(self, safety: &Safety, suspended: bool, now: Timestamp) -> Option<Self> {
        let is_waiting =
            matches!(self.pause_reason, Some(PauseReason::Window | PauseReason::TenantSuspended));
        if self.state != JobState::Running && !(self.state == JobState::Paused && is_waiting) {
            return None;
        }
        let reason = if suspended {
            Some(PauseReason::TenantSuspended)
        } else if safety.window_contains(now) {
            None
        } else {
            Some(PauseReason::Window)
        };
        match reason {
            _ if reason == self.pause_reason => None,
            Some(reason) => Some(self.paused(reason)),
            None => Some(Self { state: JobState::Running, pause_reason: None, ..self }.next()),
        }
    }

    /// How the job ended, if all its locations are planned and no item is open.
    #[must_use]
    pub fn final_state(counts: &ItemCounts, location_failed: bool) -> JobState {
        if counts.all_succeeded() && !location_failed {
            JobState::Succeeded
        } else {
            JobState::CompletedWithFailures
        }
    }

    /// Whether the job pauses after its canary when it continues. A caller who continues it after the canary has
    /// checked the canary.
    fn is_canary_due(&self) -> bool {
        self.canary_pending && self.pause_reason != Some(PauseReason::Canary)
    }

    fn run(self, safety: &Safety, now: Timestamp) -> Result<Self, Refused> {
        if safety.window_is_over(now) {
            return Err(self.refused("its window is over; cancel it and create a new job"));
        }
        let started = self.started.or(Some(now));
        let status = Self { started, pause_reason: None, state: JobState::Running, ..self };
        if safety.window_contains(now) { Ok(status.next()) } else { Ok(status.paused(PauseReason::Window)) }
    }

    fn next(self) -> Self {
        Self { version: self.version + 1, ..self }
    }

    fn refused(self, advice: &'static str) -> Refused {
        Refused { state: self.state, advice }
    }
}

#[cfg(test)]
mod tests;
