//! One lane: an operation of an account and Region, its rhythm, and who waits for it.
//!
//! While calls wait, one task gives out the turns; it ends when the queue is empty.

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

/// How long a throttled call is awaited at the head of the queue.
const RETRY_HOLD: Duration = Duration::from_secs(5);
/// Turns among replicas are not taken further ahead than this.
const MAX_SLOT_AHEAD: Duration = Duration::from_secs(5);
/// Longest wait that is told.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);
/// What was learned is forgotten after such a rest.
const FORGET_AFTER: Duration = Duration::from_mins(10);

/// One of AWS's quotas, and the calls that want to go.
#[derive(Debug)]
pub(super) struct QuotaQueue {
    quota_key: QuotaKey,
    bounds: QueueBounds,
    /// Where turns come from, where replicas share them.
    shared: Option<Arc<RedisBackend>>,
    state: Mutex<State>,
    changed: Notify,
}

type Answer = oneshot::Sender<Result<UpstreamPermit, AcquireError>>;

/// Who asks for a turn.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    pub(super) tenant: TenantId,
    pub(super) urgency: Priority,
    pub(super) deadline: Instant,
}

#[derive(Debug)]
struct State {
    pacer: Pacer,
    queue: FairQueue<InFlight>,
    /// Whether the task runs that gives out turns.
    attended: bool,
    in_flight: u32,
    /// Whose calls were throttled and may come back to the head of the queue, until when.
    expected: Vec<(TenantId, Priority, Instant)>,
    /// Until when turns were promised to callers that were refused.
    promised: Instant,
    used: Instant,
    /// By how many replicas the lane is used now, as far as can be told.
    contenders: u32,
}

/// A call in the queue.
#[derive(Debug)]
struct InFlight {
    waiter: Waiter,
    entered: Instant,
    answer: Answer,
}

/// Leaves the queue when dropped.
struct InQueue<'a> {
    quota_key: &'a QuotaQueue,
    ticket: Ticket,
}

// === impl LaneState ===

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
            attended: false,
            in_flight: 0,
            expected: Vec::new(),
            promised: now,
            used: now,
            contenders: 1,
        };
        Self { quota_key, bounds, shared, state: Mutex::new(state), changed: Notify::new() }
    }

    pub(super) fn set_quota(&self, per_second: NonZeroU32) {
        lock(&self.state).pacer.set_quota(per_second);
    }

    /// Where it stands.
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

    /// Whether nobody uses it and it has nothing to say.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let state = lock(&self.state);
        let learned_nothing = state.pacer.is_at_quota() || state.used + FORGET_AFTER <= now;
        state.in_flight == 0 && state.queue.len() == 0 && state.pacer.next() <= now && learned_nothing
    }

    /// Waits for a turn.
    pub(super) async fn permit(self: &Arc<Self>, waiter: Waiter) -> Result<UpstreamPermit, AcquireError> {
        let deadline = waiter.deadline;
        let (_in_queue, answer) = match self.enqueue(waiter) {
            Ok(Ok(permit)) => return Ok(permit),
            Ok(Err((ticket, answer))) => (InQueue::new(self, ticket), answer),
            Err(refusal) => return Err(count_rejection(refusal)),
        };
        match timeout_at(deadline, answer).await {
            Ok(Ok(Ok(permit))) => Ok(permit),
            Ok(Ok(Err(refusal))) => Err(count_rejection(refusal)),
            // The deadline came first, or the runtime ends.
            Ok(Err(_)) | Err(_) => {
                let retry_after = lock(&self.state).pacer.period();
                Err(count_rejection(AcquireError { retry_after }))
            }
        }
    }

    /// A turn at once, or a place in the queue.
    #[expect(clippy::type_complexity, reason = "one use, taken apart at once")]
    fn enqueue(
        self: &Arc<Self>,
        waiter: Waiter,
    ) -> Result<
        Result<UpstreamPermit, (Ticket, oneshot::Receiver<Result<UpstreamPermit, AcquireError>>)>,
        AcquireError,
    > {
        let now = Instant::now();
        let mut state = lock(&self.state);
        state.used = now;
        let returns = state.is_retry(&waiter, now);
        if self.shared.is_none() && state.queue.len() == 0 && state.pacer.next() <= now {
            return Ok(Ok(self.issue_permit(&mut state, &waiter, now, now)));
        }
        let ahead = if returns { 0 } else { state.queue.position(&waiter.tenant, waiter.urgency) };
        if state.next_slot_at(now, ahead) > waiter.deadline {
            return Err(state.rejection(now, ahead, waiter.deadline));
        }
        let (answer, receiver) = oneshot::channel();
        let (tenant, urgency, deadline) = (waiter.tenant.clone(), waiter.urgency, waiter.deadline);
        let call = InFlight { waiter, entered: now, answer };
        let ticket = if returns {
            state.queue.push_front(&tenant, urgency, call)
        } else {
            match state.queue.push(&tenant, urgency, self.bounds, call) {
                EnqueueResult::Waits(ticket) => ticket,
                EnqueueResult::Instead(ticket, out) => {
                    let refusal = state.rejection(now, ahead, deadline);
                    drop(out.answer.send(Err(refusal)));
                    ticket
                }
                EnqueueResult::Full(_) => return Err(state.rejection(now, ahead, deadline)),
            }
        };
        if !state.attended {
            state.attended = true;
            tokio::spawn(Arc::clone(self).dispatch_loop());
        }
        Ok(Err((ticket, receiver)))
    }

    /// Gives out turns while calls wait.
    async fn dispatch_loop(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = lock(&self.state);
                if state.queue.len() == 0 {
                    state.attended = false;
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
            if let Some(link) = &self.shared
                && !self.slot(link).await
            {
                continue;
            }
            let given = self.grant_next(&mut lock(&self.state), Instant::now());
            // Apart from the lock: a caller that left drops its turn here, which is then given back.
            if let Some((answer, permit)) = given {
                drop(answer.send(Ok(permit)));
            }
        }
    }

    /// Waits for a turn among replicas; false where there is none for now.
    async fn slot(&self, link: &RedisBackend) -> bool {
        let spacing = lock(&self.state).pacer.spacing();
        let slot = link.slot(&self.quota_key, spacing, MAX_SLOT_AHEAD).await;
        let ours = {
            let mut state = lock(&self.state);
            state.pacer.set_replicas(if let SlotReply::UseLocal(replicas) = slot { replicas } else { 1 });
            state.contenders =
                if let SlotReply::In(wait) = slot { contending_replicas(wait, spacing) } else { 1 };
            if slot == SlotReply::Unreachable {
                state.refuse_all(Instant::now());
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
            // Going alone is slower than going together was.
            SlotReply::UseLocal(_) => ours,
            SlotReply::PastDeadline | SlotReply::Unreachable => false,
        }
    }

    /// The next call with its turn if it is time; tells those whose turn comes too late.
    fn grant_next(self: &Arc<Self>, state: &mut State, now: Instant) -> Option<(Answer, UpstreamPermit)> {
        if state.pacer.next() > now {
            return None;
        }
        let call = state.queue.pop()?;
        let permit = self.issue_permit(state, &call.waiter, call.entered, now);
        state.expire_unreachable(now);
        Some((call.answer, permit))
    }

    fn issue_permit(
        self: &Arc<Self>,
        state: &mut State,
        waiter: &Waiter,
        entered: Instant,
        now: Instant,
    ) -> UpstreamPermit {
        let operation = self.quota_key.operation.as_str();
        histogram!("logkey_upstream_wait_seconds", "operation" => operation).record(now - entered);
        state.in_flight += 1;
        let sent = state.pacer.sent(now);
        let (quota_key, tenant, urgency) = (Arc::clone(self), waiter.tenant.clone(), waiter.urgency);
        UpstreamPermit::new(move |feedback| quota_key.on_outcome(sent, tenant, urgency, feedback))
    }

    fn on_outcome(&self, sent: SentCall, tenant: TenantId, urgency: Priority, feedback: UpstreamOutcome) {
        let now = Instant::now();
        let mut state = lock(&self.state);
        state.in_flight = state.in_flight.saturating_sub(1);
        state.used = now;
        let was_whole = state.pacer.is_at_quota();
        state.pacer.on_outcome(now, sent, feedback);
        if feedback == UpstreamOutcome::Throttled {
            state.expected.push((tenant, urgency, now + RETRY_HOLD));
            counter!("logkey_upstream_throttled_total", "operation" => self.quota_key.operation.as_str())
                .increment(1);
        }
        if !(was_whole && state.pacer.is_at_quota()) {
            self.update_gauge(state.pacer.effective_rate());
        }
        drop(state);
        self.changed.notify_one();
    }

    fn waiting(&self) -> Gauge {
        gauge!("logkey_upstream_waiting", "operation" => self.quota_key.operation.as_str())
    }

    /// Told only for lanes that were throttled, so that series stay few.
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

/// So many replicas take their turns before ours comes again.
fn contending_replicas(wait: Duration, spacing: Duration) -> u32 {
    let permits = wait.as_nanos().checked_div(spacing.as_nanos()).unwrap_or(0);
    u32::try_from(permits).unwrap_or(u32::MAX).max(1)
}

fn count_rejection(refusal: AcquireError) -> AcquireError {
    counter!("logkey_limit_refused_total", "cause" => "account_budget").increment(1);
    refusal
}

// === impl State ===

impl State {
    /// When a call gets its turn that has so many before it.
    fn next_slot_at(&self, now: Instant, ahead: usize) -> Instant {
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        self.pacer.next().max(now) + self.pacer.period().saturating_mul(ahead.saturating_mul(self.contenders))
    }

    /// When a call that has so many before it could come again, with as much time as it has now.
    fn rejection(&mut self, now: Instant, ahead: usize, deadline: Instant) -> AcquireError {
        let period = self.pacer.period();
        // Callers refused one after the other are told one turn later each.
        let permit = self.next_slot_at(now, ahead).max(self.promised) + period;
        self.promised = permit.min(now + MAX_RETRY_AFTER);
        let timeout = deadline.saturating_duration_since(now);
        AcquireError { retry_after: (permit - now).saturating_sub(timeout).clamp(period, MAX_RETRY_AFTER) }
    }

    fn refuse_all(&mut self, now: Instant) {
        while let Some(call) = self.queue.pop() {
            let refusal = self.rejection(now, 0, call.waiter.deadline);
            drop(call.answer.send(Err(refusal)));
        }
    }

    fn expire_unreachable(&mut self, now: Instant) {
        let too_late = |(ticket, ahead, call): (Ticket, usize, &InFlight)| {
            (self.next_slot_at(now, ahead) > call.waiter.deadline).then_some((ticket, ahead))
        };
        let unreachable: Vec<_> = self.queue.round_robin().into_iter().filter_map(too_late).collect();
        for (ticket, ahead) in unreachable {
            if let Some(call) = self.queue.remove(ticket) {
                let refusal = self.rejection(now, ahead, call.waiter.deadline);
                drop(call.answer.send(Err(refusal)));
            }
        }
    }

    /// Whether the call was throttled before and goes to the head of the queue.
    fn is_retry(&mut self, waiter: &Waiter, now: Instant) -> bool {
        self.expected.retain(|(.., until)| *until > now);
        let mine = |(tenant, urgency, _): &(TenantId, Priority, Instant)| {
            *tenant == waiter.tenant && *urgency == waiter.urgency
        };
        let Some(at) = self.expected.iter().position(mine) else { return false };
        self.expected.swap_remove(at);
        true
    }
}

// === impl InQueue ===

impl<'a> InQueue<'a> {
    fn new(quota_key: &'a QuotaQueue, ticket: Ticket) -> Self {
        quota_key.waiting().increment(1.0);
        Self { quota_key, ticket }
    }
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        let left = lock(&self.quota_key.state).queue.remove(self.ticket);
        drop(left);
        self.quota_key.waiting().decrement(1.0);
        self.quota_key.changed.notify_one();
    }
}
