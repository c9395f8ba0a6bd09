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
    queue::{Entered, FairQueue, Ticket},
    rhythm::{Rhythm, Sent},
};
use crate::{
    domain::tenant::TenantId,
    limit::{
        QuotaFrom, Waiting, locked,
        redis::{Link, Slot},
        view::LaneView,
    },
    ports::limit::{Feedback, Lane, NoTurn, Turn, Urgency},
};

/// How long a throttled call is awaited at the head of the queue.
const COMES_BACK: Duration = Duration::from_secs(5);
/// Turns among replicas are not taken further ahead than this.
const FURTHEST_SLOT: Duration = Duration::from_secs(5);
/// Longest wait that is told.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// What was learned is forgotten after such a rest.
const RESTED: Duration = Duration::from_mins(10);

/// One of AWS's quotas, and the calls that want to go.
#[derive(Debug)]
pub(super) struct LaneState {
    lane: Lane,
    bounds: Waiting,
    /// Where turns come from, where replicas share them.
    shared: Option<Arc<Link>>,
    state: Mutex<State>,
    changed: Notify,
}

type Answer = oneshot::Sender<Result<Turn, NoTurn>>;

/// Who asks for a turn.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) tenant: TenantId,
    pub(super) urgency: Urgency,
    pub(super) deadline: Instant,
}

#[derive(Debug)]
struct State {
    rhythm: Rhythm,
    queue: FairQueue<Call>,
    /// Whether the task runs that gives out turns.
    attended: bool,
    under_way: u32,
    /// Whose calls were throttled and may come back to the head of the queue, until when.
    expected: Vec<(TenantId, Urgency, Instant)>,
    /// Until when turns were promised to callers that were refused.
    promised: Instant,
    used: Instant,
    /// By how many replicas the lane is used now, as far as can be told.
    crowd: u32,
}

/// A call in the queue.
#[derive(Debug)]
struct Call {
    asker: Asker,
    entered: Instant,
    answer: Answer,
}

/// Leaves the queue when dropped.
struct InQueue<'a> {
    lane: &'a LaneState,
    ticket: Ticket,
}

// === impl LaneState ===

impl LaneState {
    pub(super) fn new(
        lane: Lane,
        per_second: NonZeroU32,
        bounds: Waiting,
        shared: Option<Arc<Link>>,
        now: Instant,
    ) -> Self {
        let state = State {
            rhythm: Rhythm::new(per_second, now),
            queue: FairQueue::new(),
            attended: false,
            under_way: 0,
            expected: Vec::new(),
            promised: now,
            used: now,
            crowd: 1,
        };
        Self { lane, bounds, shared, state: Mutex::new(state), changed: Notify::new() }
    }

    pub(super) fn set_quota(&self, per_second: NonZeroU32) {
        locked(&self.state).rhythm.set_quota(per_second);
    }

    /// Where it stands.
    pub(super) fn view(&self, quota_from: QuotaFrom) -> LaneView {
        let state = locked(&self.state);
        LaneView {
            account: self.lane.place.account.to_string(),
            region: self.lane.place.region.to_string(),
            operation: self.lane.operation.as_str().to_owned(),
            quota: state.rhythm.quota(),
            quota_from: quota_from.as_str().to_owned(),
            believed: state.rhythm.believed(),
            waiting: state.queue.len(),
            under_way: state.under_way,
        }
    }

    /// Whether nobody uses it and it has nothing to say.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let state = locked(&self.state);
        let learned_nothing = state.rhythm.is_whole() || state.used + RESTED <= now;
        state.under_way == 0 && state.queue.len() == 0 && state.rhythm.next() <= now && learned_nothing
    }

    /// Waits for a turn.
    pub(super) async fn turn(self: &Arc<Self>, asker: Asker) -> Result<Turn, NoTurn> {
        let deadline = asker.deadline;
        let (_in_queue, answer) = match self.enter(asker) {
            Ok(Ok(turn)) => return Ok(turn),
            Ok(Err((ticket, answer))) => (InQueue::new(self, ticket), answer),
            Err(refusal) => return Err(refused(refusal)),
        };
        match timeout_at(deadline, answer).await {
            Ok(Ok(Ok(turn))) => Ok(turn),
            Ok(Ok(Err(refusal))) => Err(refused(refusal)),
            // The deadline came first, or the runtime ends.
            Ok(Err(_)) | Err(_) => {
                let retry_after = locked(&self.state).rhythm.period();
                Err(refused(NoTurn { retry_after }))
            }
        }
    }

    /// A turn at once, or a place in the queue.
    #[expect(clippy::type_complexity, reason = "one use, taken apart at once")]
    fn enter(
        self: &Arc<Self>,
        asker: Asker,
    ) -> Result<Result<Turn, (Ticket, oneshot::Receiver<Result<Turn, NoTurn>>)>, NoTurn> {
        let now = Instant::now();
        let mut state = locked(&self.state);
        state.used = now;
        let returns = state.returns(&asker, now);
        if self.shared.is_none() && state.queue.len() == 0 && state.rhythm.next() <= now {
            return Ok(Ok(self.let_go(&mut state, &asker, now, now)));
        }
        let ahead = if returns { 0 } else { state.queue.ahead(&asker.tenant, asker.urgency) };
        if state.turn_at(now, ahead) > asker.deadline {
            return Err(state.refusal(now, ahead, asker.deadline));
        }
        let (answer, answered) = oneshot::channel();
        let (tenant, urgency, deadline) = (asker.tenant.clone(), asker.urgency, asker.deadline);
        let call = Call { asker, entered: now, answer };
        let ticket = if returns {
            state.queue.push_front(&tenant, urgency, call)
        } else {
            match state.queue.push(&tenant, urgency, self.bounds, call) {
                Entered::Waits(ticket) => ticket,
                Entered::Instead(ticket, out) => {
                    let refusal = state.refusal(now, ahead, deadline);
                    drop(out.answer.send(Err(refusal)));
                    ticket
                }
                Entered::Full(_) => return Err(state.refusal(now, ahead, deadline)),
            }
        };
        if !state.attended {
            state.attended = true;
            tokio::spawn(Arc::clone(self).attend());
        }
        Ok(Err((ticket, answered)))
    }

    /// Gives out turns while calls wait.
    async fn attend(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = locked(&self.state);
                if state.queue.len() == 0 {
                    state.attended = false;
                    return;
                }
                state.rhythm.next()
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
            let given = self.serve(&mut locked(&self.state), Instant::now());
            // Apart from the lock: a caller that left drops its turn here, which is then given back.
            if let Some((answer, turn)) = given {
                drop(answer.send(Ok(turn)));
            }
        }
    }

    /// Waits for a turn among replicas; false where there is none for now.
    async fn slot(&self, link: &Link) -> bool {
        let spacing = locked(&self.state).rhythm.spacing();
        let slot = link.slot(&self.lane, spacing, FURTHEST_SLOT).await;
        let ours = {
            let mut state = locked(&self.state);
            state.rhythm.share_with(if let Slot::Own(replicas) = slot { replicas } else { 1 });
            state.crowd = if let Slot::In(wait) = slot { crowd(wait, spacing) } else { 1 };
            if slot == Slot::None {
                state.refuse_all(Instant::now());
            }
            state.rhythm.next() <= Instant::now()
        };
        match slot {
            Slot::In(wait) => sleep(wait).await,
            Slot::TooLate => sleep(spacing).await,
            Slot::Own(_) | Slot::None => {}
        }
        match slot {
            Slot::In(_) => true,
            // Going alone is slower than going together was.
            Slot::Own(_) => ours,
            Slot::TooLate | Slot::None => false,
        }
    }

    /// The next call with its turn if it is time; tells those whose turn comes too late.
    fn serve(self: &Arc<Self>, state: &mut State, now: Instant) -> Option<(Answer, Turn)> {
        if state.rhythm.next() > now {
            return None;
        }
        let call = state.queue.pop()?;
        let turn = self.let_go(state, &call.asker, call.entered, now);
        state.tell_the_hopeless(now);
        Some((call.answer, turn))
    }

    fn let_go(self: &Arc<Self>, state: &mut State, asker: &Asker, entered: Instant, now: Instant) -> Turn {
        let operation = self.lane.operation.as_str();
        histogram!("logkey_pace_wait_seconds", "operation" => operation).record(now - entered);
        state.under_way += 1;
        let sent = state.rhythm.sent(now);
        let (lane, tenant, urgency) = (Arc::clone(self), asker.tenant.clone(), asker.urgency);
        Turn::new(move |feedback| lane.answered(sent, tenant, urgency, feedback))
    }

    fn answered(&self, sent: Sent, tenant: TenantId, urgency: Urgency, feedback: Feedback) {
        let now = Instant::now();
        let mut state = locked(&self.state);
        state.under_way = state.under_way.saturating_sub(1);
        state.used = now;
        let was_whole = state.rhythm.is_whole();
        state.rhythm.answered(now, sent, feedback);
        if feedback == Feedback::Throttled {
            state.expected.push((tenant, urgency, now + COMES_BACK));
            counter!("logkey_pace_throttled_total", "operation" => self.lane.operation.as_str()).increment(1);
        }
        if !(was_whole && state.rhythm.is_whole()) {
            self.show_belief(state.rhythm.believed());
        }
        drop(state);
        self.changed.notify_one();
    }

    fn waiting(&self) -> Gauge {
        gauge!("logkey_pace_waiting", "operation" => self.lane.operation.as_str())
    }

    /// Told only for lanes that were throttled, so that series stay few.
    fn show_belief(&self, believed: f64) {
        gauge!(
            "logkey_pace_believed_per_second",
            "account" => self.lane.place.account.to_string(),
            "region" => self.lane.place.region.to_string(),
            "operation" => self.lane.operation.as_str(),
        )
        .set(believed);
    }
}

/// So many replicas take their turns before ours comes again.
fn crowd(wait: Duration, spacing: Duration) -> u32 {
    let turns = wait.as_nanos().checked_div(spacing.as_nanos()).unwrap_or(0);
    u32::try_from(turns).unwrap_or(u32::MAX).max(1)
}

fn refused(refusal: NoTurn) -> NoTurn {
    counter!("logkey_limit_refused_total", "cause" => "account_budget").increment(1);
    refusal
}

// === impl State ===

impl State {
    /// When a call gets its turn that has so many before it.
    fn turn_at(&self, now: Instant, ahead: usize) -> Instant {
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        self.rhythm.next().max(now) + self.rhythm.period().saturating_mul(ahead.saturating_mul(self.crowd))
    }

    /// When a call that has so many before it could come again, with as much time as it has now.
    fn refusal(&mut self, now: Instant, ahead: usize, deadline: Instant) -> NoTurn {
        let period = self.rhythm.period();
        // Callers refused one after the other are told one turn later each.
        let turn = self.turn_at(now, ahead).max(self.promised) + period;
        self.promised = turn.min(now + LONGEST_WAIT);
        let patience = deadline.saturating_duration_since(now);
        NoTurn { retry_after: (turn - now).saturating_sub(patience).clamp(period, LONGEST_WAIT) }
    }

    fn refuse_all(&mut self, now: Instant) {
        while let Some(call) = self.queue.pop() {
            let refusal = self.refusal(now, 0, call.asker.deadline);
            drop(call.answer.send(Err(refusal)));
        }
    }

    fn tell_the_hopeless(&mut self, now: Instant) {
        let too_late = |(ticket, ahead, call): (Ticket, usize, &Call)| {
            (self.turn_at(now, ahead) > call.asker.deadline).then_some((ticket, ahead))
        };
        let hopeless: Vec<_> = self.queue.turns().into_iter().filter_map(too_late).collect();
        for (ticket, ahead) in hopeless {
            if let Some(call) = self.queue.remove(ticket) {
                let refusal = self.refusal(now, ahead, call.asker.deadline);
                drop(call.answer.send(Err(refusal)));
            }
        }
    }

    /// Whether the call was throttled before and goes to the head of the queue.
    fn returns(&mut self, asker: &Asker, now: Instant) -> bool {
        self.expected.retain(|(.., until)| *until > now);
        let mine = |(tenant, urgency, _): &(TenantId, Urgency, Instant)| {
            *tenant == asker.tenant && *urgency == asker.urgency
        };
        let Some(at) = self.expected.iter().position(mine) else { return false };
        self.expected.swap_remove(at);
        true
    }
}

// === impl InQueue ===

impl<'a> InQueue<'a> {
    fn new(lane: &'a LaneState, ticket: Ticket) -> Self {
        lane.waiting().increment(1.0);
        Self { lane, ticket }
    }
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        let left = locked(&self.lane.state).queue.remove(self.ticket);
        drop(left);
        self.lane.waiting().decrement(1.0);
        self.lane.changed.notify_one();
    }
}
