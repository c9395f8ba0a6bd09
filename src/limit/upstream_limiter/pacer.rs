//! When the next call may go to AWS: the quota's spacing, as AWS sees it, and as throttles have taught.
//!
//! AWS tells neither how deep its bucket is nor who else draws on it. So calls are spaced as if it held
//! one token. What a throttle means is read from the [`Clock`]: either calls came too close together on
//! their way, which moves the clock or its margin, or someone else calls too, which costs [`Belief`].

mod aimd;
mod arrival_model;
#[cfg(test)]
mod tests;

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;

use self::{aimd::AimdEstimator, arrival_model::ArrivalModel};
use crate::ports::limit::UpstreamOutcome;

/// The spacing of one lane's calls.
#[derive(Debug)]
pub(super) struct Pacer {
    quota: f64,
    /// The part of it that is ours to use, beside other replicas.
    share: f64,
    estimator: AimdEstimator,
    clock: ArrivalModel,
    next: Instant,
    last: Option<Instant>,
    sent: u64,
}

/// One call that was let go.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentCall {
    number: u64,
    at: Instant,
    /// When it could have gone, to be restored where it never went.
    previous: Instant,
}

// === impl Rhythm ===

impl Pacer {
    pub(super) fn new(per_second: NonZeroU32, now: Instant) -> Self {
        let quota = f64::from(per_second.get());
        Self {
            quota,
            share: 1.0,
            estimator: AimdEstimator::at_quota(),
            clock: ArrivalModel::new(),
            next: now,
            last: None,
            sent: 0,
        }
    }

    /// Takes over another quota.
    pub(super) fn set_quota(&mut self, per_second: NonZeroU32) {
        self.quota = f64::from(per_second.get());
    }

    /// Leaves the rest of the quota to so many replicas, this one among them.
    pub(super) fn set_replicas(&mut self, replicas: u32) {
        let share = 1.0 / f64::from(replicas.max(1));
        let narrower = share < self.share;
        self.share = share;
        if let Some(last) = self.last.filter(|_| narrower) {
            self.next = self.next.max(last + self.period());
        }
    }

    /// When the next call may go.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// The spacing at the believed rate.
    pub(super) fn period(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.effective_rate())
    }

    /// Calls a second that AWS is taken to grant.
    pub(super) fn quota(&self) -> f64 {
        self.quota
    }

    /// The spacing of all replicas' calls together, and a margin.
    pub(super) fn spacing(&self) -> Duration {
        Duration::from_secs_f64(1.002 / (self.quota * self.estimator.fraction()))
    }

    /// Calls a second that AWS is believed to take from us.
    pub(super) fn effective_rate(&self) -> f64 {
        self.quota * self.share * self.estimator.fraction()
    }

    /// Whether AWS is believed to grant the whole quota.
    pub(super) fn is_at_quota(&self) -> bool {
        self.estimator.is_whole()
    }

    /// A call goes now.
    pub(super) fn sent(&mut self, now: Instant) -> SentCall {
        self.sent += 1;
        self.last = Some(now);
        let sent = SentCall { number: self.sent, at: now, previous: self.next };
        self.next = self.clock.next(now, self.period(), None);
        sent
    }

    /// AWS answered.
    pub(super) fn on_outcome(&mut self, now: Instant, sent: SentCall, feedback: UpstreamOutcome) {
        let is_last = sent.number == self.sent;
        let latency = now - sent.at;
        match feedback {
            UpstreamOutcome::Counted => {
                self.clock.accepted(sent.at, latency, self.quota_period());
                self.estimator.accepted();
                if is_last {
                    self.next = self.clock.next(sent.at, self.period(), Some(latency));
                }
            }
            UpstreamOutcome::Throttled => {
                if self.clock.is_consistent_with(sent.at, latency, self.quota_period()) {
                    // The bucket has its token as soon as what the jitter took has passed.
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
