//! Decides when the next call may go to AWS. AWS reveals neither the depth of its token bucket nor its other
//! clients, so calls are spaced as if the bucket held one token. The [`ArrivalModel`] explains a throttle:
//! either network jitter brought two calls too close together, which adjusts the model, or another client
//! uses the quota too, which lowers the rate of the [`AimdEstimator`].

mod aimd;
mod arrival_model;
#[cfg(test)]
mod tests;

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;

use self::{aimd::AimdEstimator, arrival_model::ArrivalModel};
use crate::ports::limit::UpstreamOutcome;

/// Spaces the calls of one quota key.
#[derive(Debug)]
pub(super) struct Pacer {
    quota: f64,
    /// The fraction of the quota that this replica may use.
    share: f64,
    estimator: AimdEstimator,
    arrivals: ArrivalModel,
    next: Instant,
    last: Option<Instant>,
    sent: u64,
}

/// One call that got its permit.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentCall {
    number: u64,
    at: Instant,
    /// The previous earliest send time, to restore if the call is never sent.
    previous: Instant,
}

// === impl Pacer ===

impl Pacer {
    pub(super) fn new(per_second: NonZeroU32, now: Instant) -> Self {
        let quota = f64::from(per_second.get());
        Self {
            quota,
            share: 1.0,
            estimator: AimdEstimator::at_quota(),
            arrivals: ArrivalModel::new(),
            next: now,
            last: None,
            sent: 0,
        }
    }

    /// Sets the quota, in calls per second.
    pub(super) fn set_quota(&mut self, per_second: NonZeroU32) {
        self.quota = f64::from(per_second.get());
    }

    /// Divides the quota by this number of replicas, including this one.
    pub(super) fn set_replicas(&mut self, replicas: u32) {
        let share = 1.0 / f64::from(replicas.max(1));
        let is_smaller = share < self.share;
        self.share = share;
        if let Some(last) = self.last.filter(|_| is_smaller) {
            self.next = self.next.max(last + self.period());
        }
    }

    /// When the next call may go.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// The time between two calls at the effective rate.
    pub(super) fn period(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.effective_rate())
    }

    /// The quota, in calls per second.
    pub(super) fn quota(&self) -> f64 {
        self.quota
    }

    /// The spacing of the calls of all replicas together, with a small margin.
    pub(super) fn spacing(&self) -> Duration {
        Duration::from_secs_f64(1.002 / (self.quota * self.estimator.fraction()))
    }

    /// The estimated calls per second that AWS accepts from this process.
    pub(super) fn effective_rate(&self) -> f64 {
        self.quota * self.share * self.estimator.fraction()
    }

    /// Whether the estimate is the whole quota.
    pub(super) fn is_at_quota(&self) -> bool {
        self.estimator.is_whole()
    }

    /// Records that a call is sent now.
    pub(super) fn sent(&mut self, now: Instant) -> SentCall {
        self.sent += 1;
        self.last = Some(now);
        let sent = SentCall { number: self.sent, at: now, previous: self.next };
        self.next = self.arrivals.next(now, self.period(), None);
        sent
    }

    /// Records how AWS responded to a call.
    pub(super) fn on_outcome(&mut self, now: Instant, sent: SentCall, feedback: UpstreamOutcome) {
        let is_last = sent.number == self.sent;
        let latency = now - sent.at;
        match feedback {
            UpstreamOutcome::Counted => {
                self.arrivals.accepted(sent.at, latency, self.quota_period());
                self.estimator.accepted();
                if is_last {
                    self.next = self.arrivals.next(sent.at, self.period(), Some(latency));
                }
            }
            UpstreamOutcome::Throttled => {
                if self.arrivals.is_consistent_with(sent.at, latency, self.quota_period()) {
                    // The bucket has its next token once the time that the jitter took has passed.
                    self.next = self.next.max(now + self.period() / 2);
                } else {
                    self.estimator.throttled();
                    self.next = self.next.max(now + self.period());
                }
            }
            UpstreamOutcome::NotSent if is_last => self.next = sent.previous,
            UpstreamOutcome::NotSent | UpstreamOutcome::Unanswered => {}
        }
    }

    fn quota_period(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.quota)
    }
}
