//! One quota key: its pacer, and the queue of calls that wait for a permit. One task issues the permits.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use metrics::{Gauge, counter, gauge, histogram};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    fair_queue::{EnqueueResult, FairQueue, Ticket},
    pacer::{Pacer, SentCall},
};
use crate::{
    domain::tenant::TenantId,
    limit::{
        QueueBounds, QuotaSource, lock,
        redis::{RedisBackend, SlotReply},
        view::QuotaKeyView,
    },
    ports::limit::{AcquireError, Priority, QuotaKey, UpstreamOutcome, UpstreamPermit},
};

/// How long a retry of a throttled call may still enter at the head of the queue.
const RETRY_HOLD: Duration = Duration::from_secs(5);
/// The longest time by which a send slot is reserved in advance among replicas.
const MAX_SLOT_AHEAD: Duration = Duration::from_secs(5);
/// The longest retry delay.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);
/// The idle time after which the estimated rate is discarded.
const IDLE_RESET: Duration = Duration::from_mins(10);

/// One AWS quota, and the calls that wait for it.
#[derive(Debug)]
pub(super) struct QuotaQueue {
    quota_key: QuotaKey,
    bounds: QueueBounds,
    /// The source of send slots, if replicas share the quota.
    shared: Option<Arc<RedisBackend>>,
    state: Mutex<State>,
    changed: Notify,
}

type ReplySender = oneshot::Sender<Result<UpstreamPermit, AcquireError>>;

/// A request for a permit.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    pub(super) tenant: TenantId,
    pub(super) priority: Priority,
    pub(super) deadline: Instant,
}

#[derive(Debug)]
struct State {
    pacer: Pacer,
    queue: FairQueue<QueuedCall>,
    /// Whether the task that issues permits is running.
    dispatching: bool,
    in_flight: u32,
    /// The throttled calls whose retries enter at the head of the queue, and until when.
    expected_retries: Vec<(TenantId, Priority, Instant)>,
    /// The time up to which rejected callers got retry times.
    promised_until: Instant,
    last_used: Instant,
    /// The estimated number of replicas that use the quota key now.
    contenders: u32,
}

/// A call in the queue.
#[derive(Debug)]
struct QueuedCall {
    waiter: Waiter,
    enqueued: Instant,
    reply: ReplySender,
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
        let state = State {
            pacer: Pacer::new(per_second, now),
            queue: FairQueue::new(),
            dispatching: false,
            in_flight: 0,
            expected_retries: Vec::new(),
            promised_until: now,
            last_used: now,
            contenders: 1,
        };
        Self { quota_key, bounds, shared, state: Mutex::new(state), changed: Notify::new() }
    }

    pub(super) fn set_quota(&self, per_second: NonZeroU32) {
        lock(&self.state).pacer.set_quota(per_second);
    }

    /// The state of the quota key, for operators.
    pub(super) fn view(&self, quota_from: QuotaSource) -> QuotaKeyView {
        let state = lock(&self.state);
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

    /// Whether the queue is unused and its estimated rate is not worth keeping.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let state = lock(&self.state);
        let nothing_to_keep = state.pacer.is_at_quota() || state.last_used + IDLE_RESET <= now;
        state.in_flight == 0 && state.queue.len() == 0 && state.pacer.next() <= now && nothing_to_keep
    }

    pub(super) async fn permit(self: &Arc<Self>, waiter: Waiter) -> Result<UpstreamPermit, AcquireError> {
        let deadline = waiter.deadline;
        let (_in_queue, receiver) = match self.enqueue(waiter) {
            Ok(Ok(permit)) => return Ok(permit),
            Ok(Err((ticket, receiver))) => (InQueue::new(self, ticket), receiver),
            Err(rejection) => return Err(count_rejection(rejection)),
        };
        match timeout_at(deadline, receiver).await {
            Ok(Ok(Ok(permit))) => Ok(permit),
            Ok(Ok(Err(rejection))) => Err(count_rejection(rejection)),
            // The deadline passed first, or the runtime is shutting down.
            Ok(Err(_)) | Err(_) => {
                let retry_after = lock(&self.state).pacer.period();
                Err(count_rejection(AcquireError { retry_after }))
            }
        }
    }

    /// Issues a permit at once, or enqueues the call.
    #[expect(clippy::type_complexity, reason = "used once, and destructured there")]
    fn enqueue(
        self: &Arc<Self>,
        waiter: Waiter,
    ) -> Result<
        Result<UpstreamPermit, (Ticket, oneshot::Receiver<Result<UpstreamPermit, AcquireError>>)>,
        AcquireError,
    > {
        let now = Instant::now();
        let mut state = lock(&self.state);
        state.last_used = now;
        let is_retry = state.is_retry(&waiter, now);
        if self.shared.is_none() && state.queue.len() == 0 && state.pacer.next() <= now {
            return Ok(Ok(self.issue_permit(&mut state, &waiter, now, now)));
        }
        let ahead = if is_retry { 0 } else { state.queue.position(&waiter.tenant, waiter.priority) };
        if state.next_slot_at(now, ahead) > waiter.deadline {
            return Err(state.rejection(now, ahead, waiter.deadline));
        }
        let (reply, receiver) = oneshot::channel();
        let (tenant, priority, deadline) = (waiter.tenant.clone(), waiter.priority, waiter.deadline);
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
        Ok(Err((ticket, receiver)))
    }

    /// Issues permits while calls wait.
    async fn dispatch_loop(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = lock(&self.state);
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
            let granted = self.grant_next(&mut lock(&self.state), Instant::now());
            // Outside the lock, which a permit takes that is dropped because its caller has left.
            if let Some((reply, permit)) = granted {
                drop(reply.send(Ok(permit)));
            }
        }
    }

    /// Waits for a send slot among replicas. Returns false if there is none now.
    async fn wait_for_slot(&self, backend: &RedisBackend) -> bool {
        let spacing = lock(&self.state).pacer.spacing();
        let slot = backend.slot(&self.quota_key, spacing, MAX_SLOT_AHEAD).await;
        let local_permit_due = {
            let mut state = lock(&self.state);
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
        state: &mut State,
        now: Instant,
    ) -> Option<(ReplySender, UpstreamPermit)> {
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
        state: &mut State,
        waiter: &Waiter,
        enqueued: Instant,
        now: Instant,
    ) -> UpstreamPermit {
        let operation = self.quota_key.operation.as_str();
        histogram!("logkey_upstream_wait_seconds", "operation" => operation).record(now - enqueued);
        state.in_flight += 1;
        let sent = state.pacer.sent(now);
        let (queue, tenant, priority) = (Arc::clone(self), waiter.tenant.clone(), waiter.priority);
        UpstreamPermit::new(move |feedback| queue.on_outcome(sent, tenant, priority, feedback))
    }

    fn on_outcome(&self, sent: SentCall, tenant: TenantId, priority: Priority, feedback: UpstreamOutcome) {
        let now = Instant::now();
        let mut state = lock(&self.state);
        state.in_flight = state.in_flight.saturating_sub(1);
        state.last_used = now;
        let was_at_quota = state.pacer.is_at_quota();
        state.pacer.on_outcome(now, sent, feedback);
        if feedback == UpstreamOutcome::Throttled {
            state.expected_retries.push((tenant, priority, now + RETRY_HOLD));
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

// === impl State ===

impl State {
    /// When a call gets its permit if `ahead` calls go before it.
    fn next_slot_at(&self, now: Instant, ahead: usize) -> Instant {
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        self.pacer.next().max(now) + self.pacer.period().saturating_mul(ahead.saturating_mul(self.contenders))
    }

    /// The rejection of a call behind `ahead` others, with the delay after which a retry gets a permit.
    fn rejection(&mut self, now: Instant, ahead: usize, deadline: Instant) -> AcquireError {
        let period = self.pacer.period();
        // Each rejected caller gets a retry time one period later than the one before.
        let retry_at = self.next_slot_at(now, ahead).max(self.promised_until) + period;
        self.promised_until = retry_at.min(now + MAX_RETRY_AFTER);
        let timeout = deadline.saturating_duration_since(now);
        AcquireError { retry_after: (retry_at - now).saturating_sub(timeout).clamp(period, MAX_RETRY_AFTER) }
    }

    fn reject_all(&mut self, now: Instant) {
        while let Some(call) = self.queue.pop() {
            let rejection = self.rejection(now, 0, call.waiter.deadline);
            drop(call.reply.send(Err(rejection)));
        }
    }

    fn expire_unreachable(&mut self, now: Instant) {
        let too_late = |(ticket, ahead, call): (Ticket, usize, &QueuedCall)| {
            (self.next_slot_at(now, ahead) > call.waiter.deadline).then_some((ticket, ahead))
        };
        let unreachable: Vec<_> = self.queue.round_robin().into_iter().filter_map(too_late).collect();
        for (ticket, ahead) in unreachable {
            if let Some(call) = self.queue.remove(ticket) {
                let rejection = self.rejection(now, ahead, call.waiter.deadline);
                drop(call.reply.send(Err(rejection)));
            }
        }
    }

    /// Whether the call is the retry of a throttled one, which goes to the head of the queue.
    fn is_retry(&mut self, waiter: &Waiter, now: Instant) -> bool {
        self.expected_retries.retain(|(.., until)| *until > now);
        let mine = |(tenant, priority, _): &(TenantId, Priority, Instant)| {
            *tenant == waiter.tenant && *priority == waiter.priority
        };
        let Some(at) = self.expected_retries.iter().position(mine) else { return false };
        self.expected_retries.swap_remove(at);
        true
    }
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
        let removed = lock(&self.queue.state).queue.remove(self.ticket);
        drop(removed);
        self.queue.waiting().decrement(1.0);
        self.queue.changed.notify_one();
    }
}
