//! A job as callers see it: with its locations, their rates, and when it is expected to end.

use std::time::Duration;

use crate::{
    domain::{
        fleet::{BulkChange, Job, JobLocation, JobState},
        time::Timestamp,
    },
    ports::limit::{Operation, QuotaKey},
    service::{context::Context, error::Error, fleet::ports::Fleet},
};

/// The lowest rate with which an end is estimated, in calls per second.
const MIN_RATE: f64 = 0.01;

/// A job with its locations.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// The job.
    pub job: Job,
    /// The locations, in their order.
    pub locations: Vec<LocationView>,
    /// When the job is expected to end.
    pub expected_end: Option<Timestamp>,
}

/// A location of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct LocationView {
    /// The location.
    pub location: JobLocation,
    /// The calls per second that AWS's quota allows.
    pub rate: f64,
    /// When its items are expected to be done.
    pub expected_end: Option<Timestamp>,
}

impl Fleet {
    /// The view of a job.
    pub(in crate::service::fleet) async fn view(&self, cx: &Context, job: Job) -> Result<JobView, Error> {
        let locations = cx.in_turn(self.ports.jobs.locations(job.id)).await?;
        let now = cx.ports().clock.now();
        let operation = match job.spec.change {
            BulkChange::SetKey(_) | BulkChange::Revert => Operation::AssociateKmsKey,
            BulkChange::RemoveKey => Operation::DisassociateKmsKey,
        };
        let estimates = !job.status.state.has_ended() && job.status.state != JobState::Planning;
        let begin = job.spec.safety.start_time.filter(|start| *start > now).unwrap_or(now);
        let view = |location: JobLocation| {
            let quota_key = QuotaKey { location: location.location.clone(), operation };
            let rate = cx.ports().limiter.rate(&quota_key);
            let expected_end = estimates.then(|| begin.plus(time_for(location.counts.open(), rate)));
            LocationView { location, rate, expected_end }
        };
        let locations: Vec<LocationView> = locations.into_iter().map(view).collect();
        let expected_end = locations.iter().filter_map(|it| it.expected_end).max();
        Ok(JobView { job, locations, expected_end })
    }
}

/// How long so many calls take at this rate.
#[expect(clippy::cast_precision_loss, reason = "an estimate of at most a few million items")]
fn time_for(items: u64, rate: f64) -> Duration {
    Duration::try_from_secs_f64(items as f64 / rate.max(MIN_RATE)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_time_follows_the_quota() {
        assert_eq!(time_for(10_000, 5.0), Duration::from_secs(2_000));
        assert_eq!(time_for(0, 5.0), Duration::ZERO);
        assert!(time_for(u64::MAX, 0.0) > Duration::from_hours(24));
    }
}
