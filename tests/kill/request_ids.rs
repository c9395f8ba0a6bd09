//! Requests with an id of their own: their callers repeat them until they have an answer, and once more
//! later, when the service may have been killed in between. One id is one change, with one answer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicBool, Ordering},
};

use logkey::sandbox::call_log::Entry;
use rand::{Rng as _, rngs::StdRng};
use uuid::Uuid;

use crate::{
    join::{Defect, Intent, Joined, change_of, executed},
    load::{Answer, Answered, Caller, CallerTimeout, Change, REST},
};

/// How often a request is repeated that has no answer.
const TRIES: usize = 30;
/// Requests of a caller that may be repeated later.
const LATER: usize = 64;
/// A key that there is not.
const MISSING: &str = "/key-99";

/// Those of one caller that were answered.
#[derive(Debug, Default)]
pub(crate) struct Requests(Vec<(Uuid, Change)>);

/// Every try of one request.
struct Tries<'j, 'e> {
    id: Uuid,
    answers: Vec<&'j Answer>,
    /// What was begun for it, in the log's order.
    started: Vec<&'j Intent<'e>>,
}

// === impl Requests ===

impl Requests {
    /// Makes a change, and repeats it until it is answered: now and then one that AWS refuses.
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
            *key = format!("{account}{MISSING}");
        }
        let mut answers = Vec::new();
        while !stop.load(Ordering::Relaxed) && answers.len() < TRIES {
            let answer = caller.request(change.clone(), CallerTimeout::any(rng), Some(id)).await;
            let refused = match &answer.result {
                Answered::Refused { reason, .. } => reason.as_str(),
                Answered::Made { .. } | Answered::Nothing | Answered::NobodyThere => "",
            };
            // It was not asked for at all, and will not be.
            if refused == "LOG_GROUP_NOT_FOUND" || refused == "NOT_ALLOWED" {
                break;
            }
            let is_over = is_final(refused) || matches!(answer.result, Answered::Made { .. });
            if answer.result != Answered::NobodyThere {
                answers.push(answer);
            }
            if is_over {
                self.keep(id, change, rng);
                break;
            }
            tokio::time::sleep(REST).await;
        }
        answers
    }

    fn keep(&mut self, id: Uuid, change: Change, rng: &mut StdRng) {
        if self.0.len() >= LATER {
            self.0.swap_remove(rng.random_range(0..LATER));
        }
        self.0.push((id, change));
    }

    /// Now and then repeats one that was answered.
    pub(crate) async fn again(&mut self, caller: &mut Caller, rng: &mut StdRng) -> Option<Answer> {
        if self.0.is_empty() || !rng.random_ratio(1, 8) {
            return None;
        }
        let (id, change) = self.0[rng.random_range(0..self.0.len())].clone();
        let answer = caller.request(change, CallerTimeout::All, Some(id)).await;
        (answer.result != Answered::NobodyThere).then_some(answer)
    }
}

/// Whether AWS said so, and will be told to have said so again.
fn is_final(reason: &str) -> bool {
    reason.starts_with("KEY_")
}

/// Holds the answers of each id against each other, against what was begun, and against AWS.
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
        let Some(own) = answer.own else { continue };
        let tries = all.entry(own.id).or_insert_with(|| Tries {
            id: own.id,
            answers: Vec::new(),
            started: Vec::new(),
        });
        tries.answers.push(answer);
        tries.started.extend(started.get(answer.id.as_str()));
    }
    // A call that was cut off may be made again, by the same try or the next: the last one counts.
    let mut last: HashMap<Change, i64> = HashMap::new();
    for call in calls.iter().filter(|call| executed(call)) {
        let time = last.entry(change_of(call)).or_default();
        *time = call.time.as_microsecond().max(*time);
    }
    let by_request: HashMap<&str, &Entry> =
        calls.iter().filter(|call| executed(call)).map(|call| (call.request_id.as_str(), call)).collect();
    joined.own_ids = all.len();
    let mut defects = Vec::new();
    for tries in all.values_mut() {
        tries.started.sort_by_key(|intent| intent.event.time);
        defects.extend(tries.answered_differently(joined));
        defects.extend(tries.ended_twice());
        defects.extend(tries.not_made(&by_request, joined));
        let change = &tries.answers[0].change;
        let finished = tries.ended_at();
        if change.is_cold()
            && last.get(change).is_some_and(|last| finished.is_some_and(|finished| *last > finished))
        {
            defects.push(Defect::MadeTwice(format!("{} of {change:?}: {:?}", tries.id, tries.ends())));
        }
    }
    defects
}

/// The outcome that ends it for good, if it has one.
fn finished<'e>(intent: &Intent<'e>) -> Option<&'e crate::log::Event> {
    let is_over = |end: &str| end == "OK" || is_final(end);
    let mut outcomes = intent.ends.iter().filter(|end| end.kind == "outcome");
    outcomes.find(|end| end.outcome.as_deref().is_some_and(is_over)).copied()
}

// === impl Tries ===

impl<'e> Tries<'_, 'e> {
    /// Whoever was told that it is made is told the same each time, in whichever life of the service.
    fn answered_differently(&self, joined: &mut Joined) -> Option<Defect> {
        let changed = self.answers.iter().filter_map(|answer| match &answer.result {
            Answered::Made { whole, .. } => Some((whole, answer.own.map(|own| own.life))),
            Answered::Refused { .. } | Answered::Nothing | Answered::NobodyThere => None,
        });
        let changed: Vec<_> = changed.collect();
        for pair in changed.windows(2) {
            let [(first, before), (second, after)] = pair else { continue };
            if first != second {
                return Some(Defect::AnsweredDifferently(format!("{}: {first}, then {second}", self.id)));
            }
            joined.replayed += 1;
            joined.replayed_later += usize::from(before != after);
        }
        None
    }

    /// When it ended for good: AWS answered, and that is recorded.
    fn ended_at(&self) -> Option<i64> {
        let ends = self.started.iter().filter_map(|intent| finished(intent));
        ends.map(|end| end.time).min()
    }

    /// Once it has ended for good nothing is begun for it any more.
    fn ended_twice(&self) -> Option<Defect> {
        let over = self.started.iter().position(|intent| finished(intent).is_some());
        let more = over.is_some_and(|over| over + 1 < self.started.len());
        more.then(|| Defect::MadeTwice(format!("{}: {:?}", self.id, self.ends())))
    }

    /// What was told to be made is the end of the last that was begun, and AWS did it.
    fn not_made(&self, done: &HashMap<&str, &Entry>, joined: &mut Joined) -> Option<Defect> {
        let describe_answer = |answer: &Answer| format!("{answer:?}, {:?}", self.ends());
        for answer in &self.answers {
            let Answered::Made { event, aws_request_id, .. } = &answer.result else { continue };
            joined.changed += 1;
            let end = self.started.last().and_then(|last| last.ends.iter().find(|end| end.id == *event));
            let Some(end) = end else { return Some(Defect::AnswerNotInLog(describe_answer(answer))) };
            let is_so = match (end.kind.as_str(), end.outcome.as_deref()) {
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
            if !is_so {
                return Some(Defect::AnswerNotInAws(describe_answer(answer)));
            }
        }
        None
    }

    fn ends(&self) -> Vec<&[&'e crate::log::Event]> {
        self.started.iter().map(|intent| &intent.ends[..]).collect()
    }
}
