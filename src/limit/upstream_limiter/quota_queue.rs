//! One quota key: its pacer, and the queue of calls that wait for a permit. One task issues the permits.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use metrics::{Gauge, counter, gauge, histogram};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    fair_queue::{EnqueueResult, Ticket},
    pacer::SentCall,
    queue_state::{PermitReply, QueueState, QueuedCall, Waiter},
};
use crate::{
    domain::tenant::TenantId,
    limit::{
        config::{QueueBounds, QuotaSource},
        redis::{RedisBackend, SlotReply},
        view::QuotaKeyView,
    },
    ports::limit::{AcquireError, Priority, QuotaKey, UpstreamOutcome, UpstreamPermit},
};

/// The longest time by which a send slot is reserved in advance among replicas.
const MAX_SLOT_AHEAD: Duration = Duration::from_secs(5);
/// One AWS quota, and the calls that wait for it.
#[derive(Debug)]
pub(super) struct QuotaQueue {
    quota_key: QuotaKey,
    bounds: QueueBounds,
    /// The source of send slots, if replicas share the quota.
    shared: Option<Arc<RedisBackend>>,
    state: Mutex<QueueState>,
    changed: Notify,
}

/// The result of a request for a permit, unless it is rejected.
enum Enqueued {
    Granted(UpstreamPermit),
    Waiting(Ticket, oneshot::Receiver<PermitReply>),
}

/// Removes the call from the queue when dropped.
struct InQueue<'a> {
    queue: &'a QuotaQueue,
    ticket: Ticket,
}

// === impl QuotaQueue ===

impl QuotaQueue {
    pub(super) fn new(
        quota_key: QuotaKey,
        per_second: NonZeroU32,
        bounds: QueueBounds,
        shared: Option<Arc<RedisBackend>>,
        now: Instant,
    ) -> Self {
        let state = QueueState::new(per_second, now);
        Self { quota_key, bounds, shared, state: Mutex::new(state), changed: Notify::new() }
    }

    pub(super) fn set_quota(&self, per_second: NonZeroU32) {
        self.state.lock().pacer.set_quota(per_second);
    }

    /// The state of the quota key, for operators.
    pub(super) fn view(&self, quota_from: QuotaSource) -> QuotaKeyView {
        let state = self.state.lock();
        QuotaKeyView {
            account: self.quota_key.location.account.to_string(),
            region: self.quota_key.location.region.to_string(),
            operation: self.quota_key.operation.as_str().to_owned(),
            quota: state.pacer.quota(),
            quota_from: quota_from.as_str().to_owned(),
            effective_rate: state.pacer.effective_rate(),
            waiting: state.queue.len(),
            in_flight: state.in_flight,
        }
    }

    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.state.lock().is_idle(now)
    }

    pub(super) async fn permit(self: &Arc<Self>, waiter: Waiter) -> Result<UpstreamPermit, AcquireError> {
        let deadline = waiter.deadline;
        let (_in_queue, receiver) = match self.enqueue(waiter) {
            Ok(Enqueued::Granted(permit)) => return Ok(permit),
            Ok(Enqueued::Waiting(ticket, receiver)) => (InQueue::new(self, ticket), receiver),
            Err(rejection) => return Err(count_rejection(rejection)),
        };
        match timeout_at(deadline, receiver).await {
            Ok(Ok(Ok(permit))) => Ok(permit),
            Ok(Ok(Err(rejection))) => Err(count_rejection(rejection)),
            // The deadline passed first, or the runtime is shutting down.
            Ok(Err(_)) | Err(_) => {
                let retry_after = self.state.lock().pacer.period();
                Err(count_rejection(AcquireError { retry_after }))
            }
        }
    }

    /// Issues a permit at once, or enqueues the call.
    fn enqueue(self: &Arc<Self>, waiter: Waiter) -> Result<Enqueued, AcquireError> {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.last_used = now;
        let is_retry = state.take_expected_retry(&waiter, now);
        if self.shared.is_none() && state.queue.len() == 0 && state.pacer.next() <= now {
            return Ok(Enqueued::Granted(self.issue_permit(&mut state, &waiter, now, now)));
        }
        let ahead = if is_retry { 0 } else { state.queue.position(&waiter.tenant, waiter.priority) };
        if state.next_slot_at(now, ahead) > waiter.deadline {
            return Err(state.rejection(now, ahead, waiter.deadline));
        }
        let (reply, receiver) = oneshot::channel();
        let Waiter { tenant, priority, deadline } = waiter.clone();
        let call = QueuedCall { waiter, enqueued: now, reply };
        let ticket = if is_retry {
            state.queue.push_front(&tenant, priority, call)
        } else {
            match state.queue.push(&tenant, priority, self.bounds, call) {
                EnqueueResult::Queued(ticket) => ticket,
                EnqueueResult::Displaced(ticket, displaced) => {
                    let rejection = state.rejection(now, ahead, deadline);
                    drop(displaced.reply.send(Err(rejection)));
                    ticket
                }
                EnqueueResult::Full(_) => return Err(state.rejection(now, ahead, deadline)),
            }
        };
        if !state.dispatching {
            state.dispatching = true;
            tokio::spawn(Arc::clone(self).dispatch_loop());
        }
        Ok(Enqueued::Waiting(ticket, receiver))
    }

    /// Issues permits while calls wait.
    async fn dispatch_loop(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                if state.queue.len() == 0 {
                    state.dispatching = false;
                    return;
                }
                state.pacer.next()
            };
            if next > Instant::now() {
                tokio::select! {
                    () = sleep_until(next) => {}
                    () = self.changed.notified() => {}
                }
                continue;
            }
            if let Some(backend) = &self.shared
                && !self.wait_for_slot(backend).await
            {
                continue;
            }
            let granted = self.grant_next(&mut self.state.lock(), Instant::now());
            // Outside the lock, which a permit takes that is dropped because its caller has left.
            if let Some((reply, permit)) = granted {
                drop(reply.send(Ok(permit)));
            }
        }
    }

    /// Waits for a send slot among replicas. Returns false if there is none now.
    async fn wait_for_slot(&self, backend: &RedisBackend) -> bool {
        let spacing = self.state.lock().pacer.spacing();
        let slot = backend.slot(&self.quota_key, spacing, MAX_SLOT_AHEAD).await;
        let local_permit_due = {
            let mut state = self.state.lock();
            state.pacer.set_replicas(if let SlotReply::UseLocal(replicas) = slot { replicas } else { 1 });
            state.contenders =
                if let SlotReply::In(wait) = slot { contending_replicas(wait, spacing) } else { 1 };
            if slot == SlotReply::Unreachable {
                state.reject_all(Instant::now());
            }
            state.pacer.next() <= Instant::now()
        };
        match slot {
            SlotReply::In(wait) => sleep(wait).await,
            SlotReply::PastDeadline => sleep(spacing).await,
            SlotReply::UseLocal(_) | SlotReply::Unreachable => {}
        }
        match slot {
            SlotReply::In(_) => true,
            // The local share is slower than the shared rate, so the permit may not be due yet.
            SlotReply::UseLocal(_) => local_permit_due,
            SlotReply::PastDeadline | SlotReply::Unreachable => false,
        }
    }

    /// The next call with its permit, if one is due. Rejects calls that can no longer get one in time.
    fn grant_next(
        self: &Arc<Self>,
        state: &mut QueueState,
        now: Instant,
    ) -> Option<(oneshot::Sender<PermitReply>, UpstreamPermit)> {
        if state.pacer.next() > now {
            return None;
        }
        let call = state.queue.pop()?;
        let permit = self.issue_permit(state, &call.waiter, call.enqueued, now);
        state.expire_unreachable(now);
        Some((call.reply, permit))
    }

    fn issue_permit(
        self: &Arc<Self>,
        state: &mut QueueState,
        waiter: &Waiter,
        enqueued: Instant,
        now: Instant,
    ) -> UpstreamPermit {
        let operation = self.quota_key.operation.as_str();
        histogram!("logkey_upstream_wait_seconds", "operation" => operation).record(now - enqueued);
        state.in_flight += 1;
        let sent = state.pacer.sent(now);
        let (tenant, priority) = (waiter.tenant.clone(), waiter.priority);
        let queue = Arc::clone(self);
        UpstreamPermit::new(move |feedback| queue.on_outcome(sent, tenant, priority, feedback))
    }

    fn on_outcome(&self, sent: SentCall, tenant: TenantId, priority: Priority, feedback: UpstreamOutcome) {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.last_used = now;
        let was_at_quota = state.pacer.is_at_quota();
        state.pacer.on_outcome(now, sent, feedback);
        if feedback == UpstreamOutcome::Throttled {
            state.expect_retry(tenant, priority, now);
            counter!("logkey_upstream_throttled_total", "operation" => self.quota_key.operation.as_str())
                .increment(1);
        }
        if !(was_at_quota && state.pacer.is_at_quota()) {
            self.update_gauge(state.pacer.effective_rate());
        }
        drop(state);
        self.changed.notify_one();
    }

    fn waiting(&self) -> Gauge {
        gauge!("logkey_upstream_waiting", "operation" => self.quota_key.operation.as_str())
    }

    /// Updates the gauge of the effective rate. Only throttled quota keys have one, so the series stay few.
    fn update_gauge(&self, effective_rate: f64) {
        gauge!(
            "logkey_upstream_rate_limit_per_second",
            "account" => self.quota_key.location.account.to_string(),
            "region" => self.quota_key.location.region.to_string(),
            "operation" => self.quota_key.operation.as_str(),
        )
        .set(effective_rate);
    }
}

/// The number of replicas that reserve a slot between two slots of this replica.
fn contending_replicas(wait: Duration, spacing: Duration) -> u32 {
    let slots = wait.as_nanos().checked_div(spacing.as_nanos()).unwrap_or(0);
    u32::try_from(slots).unwrap_or(u32::MAX).max(1)
}

fn count_rejection(rejection: AcquireError) -> AcquireError {
    counter!("logkey_limit_refused_total", "cause" => "account_budget").increment(1);
    rejection
}

// === impl InQueue ===

impl<'a> InQueue<'a> {
    fn new(queue: &'a QuotaQueue, ticket: Ticket) -> Self {
        queue.waiting().increment(1.0);
        Self { queue, ticket }
    }
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        let removed = self.queue.state.lock().queue.remove(self.ticket);
        drop(removed);
        self.queue.waiting().decrement(1.0);
        self.queue.changed.notify_one();
    }
}
