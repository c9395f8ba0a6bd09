//! The state of one quota key: who gets the next permit and when, and which calls are rejected.

use std::{num::NonZeroU32, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{fair_queue::FairQueue, pacer::Pacer};
use crate::{
    domain::tenant::TenantId,
    ports::limit::{AcquireError, Priority, UpstreamPermit},
};

/// How long a retry of a throttled call may still enter at the head of the queue.
const RETRY_HOLD: Duration = Duration::from_secs(5);
/// The longest retry delay.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);
/// The idle time after which the estimated rate is discarded.
const IDLE_RESET: Duration = Duration::from_mins(10);

/// The answer to a request for a permit.
pub(super) type PermitReply = Result<UpstreamPermit, AcquireError>;

/// A request for a permit.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    pub(super) tenant: TenantId,
    pub(super) priority: Priority,
    pub(super) deadline: Instant,
}

/// The pacer and the queue of one quota key.
#[derive(Debug)]
pub(super) struct QueueState {
    pub(super) pacer: Pacer,
    pub(super) queue: FairQueue<QueuedCall>,
    /// Whether the task that issues permits is running.
    pub(super) dispatching: bool,
    pub(super) in_flight: u32,
    /// The throttled calls whose retries enter at the head of the queue.
    expected_retries: Vec<ExpectedRetry>,
    /// The time up to which rejected callers got retry times.
    promised_until: Instant,
    pub(super) last_used: Instant,
    /// The estimated number of replicas that use the quota key now.
    pub(super) contenders: u32,
}

/// A call in the queue.
#[derive(Debug)]
pub(super) struct QueuedCall {
    pub(super) waiter: Waiter,
    pub(super) enqueued: Instant,
    pub(super) reply: oneshot::Sender<PermitReply>,
}

/// A throttled call, whose retry enters at the head of the queue until this time.
#[derive(Debug)]
struct ExpectedRetry {
    tenant: TenantId,
    priority: Priority,
    until: Instant,
}

// === impl QueueState ===

impl QueueState {
    pub(super) fn new(per_second: NonZeroU32, now: Instant) -> Self {
        Self {
            pacer: Pacer::new(per_second, now),
            queue: FairQueue::new(),
            dispatching: false,
            in_flight: 0,
            expected_retries: Vec::new(),
            promised_until: now,
            last_used: now,
            contenders: 1,
        }
    }

    /// Whether the queue is unused and its estimated rate is not worth keeping.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let nothing_to_keep = self.pacer.is_at_quota() || self.last_used + IDLE_RESET <= now;
        self.in_flight == 0 && self.queue.len() == 0 && self.pacer.next() <= now && nothing_to_keep
    }

    /// When a call gets its permit if `ahead` calls go before it.
    pub(super) fn next_slot_at(&self, now: Instant, ahead: usize) -> Instant {
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        self.pacer.next().max(now) + self.pacer.period().saturating_mul(ahead.saturating_mul(self.contenders))
    }

    /// The rejection of a call behind `ahead` others, with the delay after which a retry gets a permit.
    pub(super) fn rejection(&mut self, now: Instant, ahead: usize, deadline: Instant) -> AcquireError {
        let period = self.pacer.period();
        // Each rejected caller gets a retry time one period later than the one before.
        let retry_at = self.next_slot_at(now, ahead).max(self.promised_until) + period;
        self.promised_until = retry_at.min(now + MAX_RETRY_AFTER);
        let timeout = deadline.saturating_duration_since(now);
        AcquireError { retry_after: (retry_at - now).saturating_sub(timeout).clamp(period, MAX_RETRY_AFTER) }
    }

    pub(super) fn reject_all(&mut self, now: Instant) {
        while let Some(call) = self.queue.pop() {
            let rejection = self.rejection(now, 0, call.waiter.deadline);
            drop(call.reply.send(Err(rejection)));
        }
    }

    pub(super) fn expire_unreachable(&mut self, now: Instant) {
        let positions = self.queue.round_robin().into_iter();
        let unreachable: Vec<_> = positions
            .filter(|at| self.next_slot_at(now, at.ahead) > at.call.waiter.deadline)
            .map(|at| (at.ticket, at.ahead))
            .collect();
        for (ticket, ahead) in unreachable {
            if let Some(call) = self.queue.remove(ticket) {
                let rejection = self.rejection(now, ahead, call.waiter.deadline);
                drop(call.reply.send(Err(rejection)));
            }
        }
    }

    /// Remembers a throttled call, whose retry enters at the head of the queue.
    pub(super) fn expect_retry(&mut self, tenant: TenantId, priority: Priority, now: Instant) {
        self.expected_retries.push(ExpectedRetry { tenant, priority, until: now + RETRY_HOLD });
    }

    /// Whether the queue expects the retry of a throttled call of this tenant and priority, which goes to the
    /// head. One call takes the place of one retry.
    pub(super) fn take_expected_retry(&mut self, waiter: &Waiter, now: Instant) -> bool {
        self.expected_retries.retain(|retry| retry.until > now);
        let mine = |retry: &ExpectedRetry| retry.tenant == waiter.tenant && retry.priority == waiter.priority;
        let Some(at) = self.expected_retries.iter().position(mine) else { return false };
        self.expected_retries.swap_remove(at);
        true
    }
}
