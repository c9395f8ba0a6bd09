//! Measures how long open jobs have made no progress. The dispatcher reports the longest of these times, so
//! that a queue with work in which nothing happens becomes visible.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{
    domain::{
        fleet::{ItemCounts, JobId, JobState},
        time::Timestamp,
    },
    ports::bulk::OpenJob,
};

/// What is known about the progress of the open jobs that have something to do.
#[derive(Debug, Default)]
pub(super) struct ProgressMonitor(HashMap<JobId, LastProgress>);

#[derive(Debug)]
struct LastProgress {
    at: Instant,
    position: Position,
}

/// What changes whenever a job makes progress.
#[derive(Debug, PartialEq, Eq)]
struct Position {
    version: u64,
    to_plan: u64,
    counts: ItemCounts,
}

// === impl ProgressMonitor ===

impl ProgressMonitor {
    /// Compares the open jobs with those of the last call. Returns the longest time without progress.
    pub(super) fn observe(&mut self, open: &[OpenJob], now: Instant) -> Duration {
        let mut before = std::mem::take(&mut self.0);
        for job in open.iter().filter(|job| has_work(job)) {
            let OpenJob { status, to_plan, counts, .. } = job;
            let position = Position { version: status.version, to_plan: *to_plan, counts: *counts };
            let last = before.remove(&job.id).filter(|last| last.position == position);
            self.0.insert(job.id, last.unwrap_or(LastProgress { at: now, position }));
        }
        self.0.values().map(|last| now.saturating_duration_since(last.at)).max().unwrap_or_default()
    }
}

/// Whether the service has something to do for the job. A planned or paused job waits for somebody else.
fn has_work(job: &OpenJob) -> bool {
    match job.status.state {
        JobState::Planning | JobState::Running => true,
        JobState::Planned
        | JobState::Paused
        | JobState::Succeeded
        | JobState::CompletedWithFailures
        | JobState::Cancelled
        | JobState::Failed => false,
    }
}

/// How long ago the oldest running job that still has waiting items was started. Zero without one.
pub(super) fn queue_age(open: &[OpenJob], now: Timestamp) -> Duration {
    let waits = |job: &&OpenJob| job.status.state == JobState::Running && job.counts.waiting > 0;
    let started = open.iter().filter(waits).filter_map(|job| job.status.started);
    started.min().map_or(Duration::ZERO, |started| now.since(started))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fleet::{JobStatus, PauseReason, Safety};

    fn running() -> OpenJob {
        let safety = Safety::default();
        OpenJob {
            id: JobId::new_v7(),
            tenant: "payments".parse().unwrap(),
            status: JobStatus { state: JobState::Running, ..JobStatus::new(true, &safety) },
            safety,
            counts: ItemCounts { waiting: 10, ..ItemCounts::default() },
            to_plan: 0,
            locations: 1,
            failed_locations: 0,
        }
    }

    #[test]
    fn the_job_that_has_stood_still_longest_counts() {
        let (start, minute) = (Instant::now(), Duration::from_mins(1));
        let mut monitor = ProgressMonitor::default();
        let still = running();
        assert_eq!(monitor.observe(&[still.clone(), running()], start), Duration::ZERO);
        assert_eq!(monitor.observe(&[still.clone(), running()], start + minute), minute);
        let counts = ItemCounts { waiting: 9, running: 1, ..still.counts };
        let moved = OpenJob { counts, ..still.clone() };
        assert_eq!(monitor.observe(std::slice::from_ref(&moved), start + 2 * minute), Duration::ZERO);
        assert_eq!(monitor.observe(&[moved], start + 5 * minute), 3 * minute);
        assert_eq!(monitor.observe(&[], start + 6 * minute), Duration::ZERO, "it has ended");
    }

    #[test]
    fn a_job_that_waits_for_a_person_does_not_stand_still() {
        let (start, hour) = (Instant::now(), Duration::from_hours(1));
        let mut monitor = ProgressMonitor::default();
        let job = running();
        monitor.observe(std::slice::from_ref(&job), start);
        let planned = OpenJob { status: JobStatus { state: JobState::Planned, ..job.status }, ..running() };
        let paused = OpenJob { status: job.status.paused(PauseReason::Canary), ..job.clone() };
        assert_eq!(monitor.observe(&[planned, paused], start + hour), Duration::ZERO);
        assert_eq!(monitor.observe(&[job], start + hour), Duration::ZERO, "it was resumed just now");
    }

    #[test]
    fn a_plan_progresses_with_its_locations_and_items() {
        let (start, minute) = (Instant::now(), Duration::from_mins(1));
        let mut monitor = ProgressMonitor::default();
        let status = JobStatus::new(false, &Safety::default());
        let planning = OpenJob { status, to_plan: 3, counts: ItemCounts::default(), ..running() };
        let next = OpenJob { to_plan: 2, ..planning.clone() };
        let found = OpenJob { counts: ItemCounts { blocked: 500, ..ItemCounts::default() }, ..next.clone() };
        let mut at = start;
        for job in [planning, next, found.clone()] {
            assert_eq!(monitor.observe(&[job], at), Duration::ZERO);
            at += minute;
        }
        assert_eq!(monitor.observe(&[found], at), minute);
    }

    #[test]
    fn the_age_of_the_queue_is_that_of_the_oldest_job_with_waiting_items() {
        let now = Timestamp::from_micros(0).plus(Duration::from_hours(2));
        let started = |minutes, state, waiting| {
            let job = running();
            let started = Some(now.minus(Duration::from_mins(minutes)));
            let status = JobStatus { state, started, ..job.status };
            OpenJob { status, counts: ItemCounts { waiting, running: 1, ..ItemCounts::default() }, ..job }
        };
        assert_eq!(queue_age(&[], now), Duration::ZERO);
        let ends = started(50, JobState::Running, 0);
        let paused = started(40, JobState::Paused, 5);
        assert_eq!(queue_age(&[ends.clone(), paused.clone()], now), Duration::ZERO);
        let [older, newer] = [30, 20].map(|minutes| started(minutes, JobState::Running, 5));
        assert_eq!(queue_age(&[newer, ends, older, paused], now), Duration::from_mins(30));
    }
}
