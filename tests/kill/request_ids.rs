//! Requests with an idempotency key. Callers repeat them until they have an answer, and again later, after
//! the service may have been killed. Each key stands for one change with one answer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicBool, Ordering},
};

use logkey::sandbox::call_log::Entry;
use rand::{Rng as _, rngs::StdRng};
use uuid::Uuid;

use crate::{
    join::{Defect, Intent, Joined, change_of, executed},
    load::{Answer, CallResult, Caller, CallerTimeout, Change, RETRY_AFTER},
    world::DISABLED_KEY,
};

/// The maximum number of tries of a request without an answer.
const MAX_TRIES: usize = 30;
/// The maximum number of answered requests that a caller may repeat later.
const MAX_REPEATABLE: usize = 64;

/// The answered requests of one caller.
#[derive(Debug, Default)]
pub(crate) struct Requests(Vec<(Uuid, Change)>);

/// All tries of one request.
struct Tries<'j, 'e> {
    id: Uuid,
    answers: Vec<&'j Answer>,
    /// The intents of the request, in the log's order.
    started: Vec<&'j Intent<'e>>,
}

// === impl Requests ===

impl Requests {
    /// Requests a change and repeats it until it is answered. Sometimes it is a change that AWS refuses.
    pub(crate) async fn make(
        &mut self,
        caller: &mut Caller,
        mut change: Change,
        rng: &mut StdRng,
        stop: &AtomicBool,
    ) -> Vec<Answer> {
        let id = Uuid::new_v4();
        if let Some(key) = change.key.as_mut().filter(|_| rng.random_ratio(1, 10)) {
            let (account, _) = key.rsplit_once('/').unwrap();
            *key = format!("{account}/{DISABLED_KEY}");
        }
        let mut answers = Vec::new();
        while !stop.load(Ordering::Relaxed) && answers.len() < MAX_TRIES {
            let answer = caller.request(change.clone(), CallerTimeout::any(rng), Some(id)).await;
            let reason = match &answer.result {
                CallResult::Failed { reason, .. } => reason.as_str(),
                CallResult::Succeeded { .. } | CallResult::NoResponse | CallResult::ConnectionRefused => "",
            };
            // The service sent nothing to AWS, and a repetition would not either.
            if reason == "LOG_GROUP_NOT_FOUND" || reason == "NOT_ALLOWED" {
                break;
            }
            let is_over = is_final(reason) || matches!(answer.result, CallResult::Succeeded { .. });
            if answer.result != CallResult::ConnectionRefused {
                answers.push(answer);
            }
            if is_over {
                self.remember(id, change, rng);
                break;
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
        answers
    }

    fn remember(&mut self, id: Uuid, change: Change, rng: &mut StdRng) {
        if self.0.len() >= MAX_REPEATABLE {
            self.0.swap_remove(rng.random_range(0..MAX_REPEATABLE));
        }
        self.0.push((id, change));
    }

    /// Sometimes repeats a request that was answered.
    pub(crate) async fn repeat(&mut self, caller: &mut Caller, rng: &mut StdRng) -> Option<Answer> {
        if self.0.is_empty() || !rng.random_ratio(1, 8) {
            return None;
        }
        let (id, change) = self.0[rng.random_range(0..self.0.len())].clone();
        let answer = caller.request(change, CallerTimeout::None, Some(id)).await;
        (answer.result != CallResult::ConnectionRefused).then_some(answer)
    }
}

/// Whether this reason is AWS's final answer, which the service replays for the same key.
fn is_final(reason: &str) -> bool {
    reason.starts_with("KEY_")
}

/// Compares the answers for each idempotency key with each other, with the intents, and with AWS's calls.
pub(crate) fn check<'e>(
    intents: &BTreeMap<&'e str, Intent<'e>>,
    calls: &[Entry],
    answers: &[Answer],
    joined: &mut Joined,
) -> Vec<Defect> {
    let started: HashMap<&str, &Intent<'e>> =
        intents.values().map(|intent| (intent.event.correlation.as_str(), intent)).collect();
    let mut all: BTreeMap<Uuid, Tries<'_, 'e>> = BTreeMap::new();
    for answer in answers {
        let Some(key) = answer.idempotency_key else { continue };
        let tries = all.entry(key.id).or_insert_with(|| Tries {
            id: key.id,
            answers: Vec::new(),
            started: Vec::new(),
        });
        tries.answers.push(answer);
        tries.started.extend(started.get(answer.id.as_str()));
    }
    // A call that was cut off may be sent again, by the same try or the next. The last call counts.
    let mut last: HashMap<Change, i64> = HashMap::new();
    for call in calls.iter().filter(|call| executed(call)) {
        let time = last.entry(change_of(call)).or_default();
        *time = call.time.as_microsecond().max(*time);
    }
    let by_request: HashMap<&str, &Entry> =
        calls.iter().filter(|call| executed(call)).map(|call| (call.request_id.as_str(), call)).collect();
    joined.idempotency_keys = all.len();
    let mut defects = Vec::new();
    for tries in all.values_mut() {
        tries.started.sort_by_key(|intent| intent.event.time);
        defects.extend(tries.answered_differently(joined));
        defects.extend(tries.ended_twice());
        defects.extend(tries.not_changed(&by_request, joined));
        let change = &tries.answers[0].change;
        let finished = tries.ended_at();
        if change.is_cold()
            && last.get(change).is_some_and(|last| finished.is_some_and(|finished| *last > finished))
        {
            defects.push(Defect::ChangedTwice(format!("{} of {change:?}: {:?}", tries.id, tries.ends())));
        }
    }
    defects
}

/// The final outcome of an intent, if it has one.
fn finished<'e>(intent: &Intent<'e>) -> Option<&'e crate::log::Event> {
    let is_over = |end: &str| end == "OK" || is_final(end);
    let mut outcomes = intent.ends.iter().filter(|end| end.kind == "outcome");
    outcomes.find(|end| end.outcome.as_deref().is_some_and(is_over)).copied()
}

// === impl Tries ===

impl<'e> Tries<'_, 'e> {
    /// Every successful answer must be the same, also after restarts of the service.
    fn answered_differently(&self, joined: &mut Joined) -> Option<Defect> {
        let changed = self.answers.iter().filter_map(|answer| match &answer.result {
            CallResult::Succeeded { response, .. } => {
                Some((response, answer.idempotency_key.map(|key| key.start_number)))
            }
            CallResult::Failed { .. } | CallResult::NoResponse | CallResult::ConnectionRefused => None,
        });
        let changed: Vec<_> = changed.collect();
        for pair in changed.windows(2) {
            let [(first, before), (second, after)] = pair else { continue };
            if first != second {
                return Some(Defect::AnsweredDifferently(format!("{}: {first}, then {second}", self.id)));
            }
            joined.replayed += 1;
            joined.replayed_after_restart += usize::from(before != after);
        }
        None
    }

    /// The time of the final outcome: AWS answered, and the answer is recorded.
    fn ended_at(&self) -> Option<i64> {
        let ends = self.started.iter().filter_map(|intent| finished(intent));
        ends.map(|end| end.time).min()
    }

    /// After the final outcome, the request must have no further intents.
    fn ended_twice(&self) -> Option<Defect> {
        let over = self.started.iter().position(|intent| finished(intent).is_some());
        let more = over.is_some_and(|over| over + 1 < self.started.len());
        more.then(|| Defect::ChangedTwice(format!("{}: {:?}", self.id, self.ends())))
    }

    /// A successful answer must be the end of the last intent, and AWS must have made the change.
    fn not_changed(&self, done: &HashMap<&str, &Entry>, joined: &mut Joined) -> Option<Defect> {
        let describe_answer = |answer: &Answer| format!("{answer:?}, {:?}", self.ends());
        for answer in &self.answers {
            let CallResult::Succeeded { event, aws_request_id, .. } = &answer.result else { continue };
            joined.changed += 1;
            let end = self.started.last().and_then(|last| last.ends.iter().find(|end| end.id == *event));
            let Some(end) = end else { return Some(Defect::AnswerNotInLog(describe_answer(answer))) };
            let is_consistent = match (end.kind.as_str(), end.outcome.as_deref()) {
                ("outcome", Some("OK")) => {
                    let call = done.get(aws_request_id.as_str());
                    end.aws_request_ids.contains(aws_request_id)
                        && call.is_some_and(|call| change_of(call) == answer.change)
                }
                ("settled", Some("in force")) => {
                    joined.read_back += 1;
                    aws_request_id.is_empty()
                }
                _ => false,
            };
            if !is_consistent {
                return Some(Defect::AnswerNotInAws(describe_answer(answer)));
            }
        }
        None
    }

    fn ends(&self) -> Vec<&[&'e crate::log::Event]> {
        self.started.iter().map(|intent| &intent.ends[..]).collect()
    }
}
