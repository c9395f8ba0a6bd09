//! The join: what the log says, what AWS was asked, and what callers were told, held against each other.

use std::collections::{BTreeMap, HashMap, HashSet};

use logkey::sandbox::call_log::{Entry, Outcome};

use crate::{
    load::{Answer, Answered, Change},
    log::Event,
    request_ids,
};

/// Flaws that are told of one run.
const MAX: usize = 20;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// AWS was asked, and no durable intent stands before it.
    NoIntent(String),
    /// AWS was asked once, and several intents fit.
    ManyIntents(String),
    /// An intent without an outcome or settlement, or with two.
    Ends(String),
    /// An intent was settled as something else than AWS did.
    ReconciledWrongly(String),
    /// A caller was told of a change that is not in the log, or not as it was told.
    AnswerNotInLog(String),
    /// A caller was told that a change was made, and AWS did not.
    AnswerNotInAws(String),
    /// A caller was told that nothing was sent, and AWS was asked.
    SentAllTheSame(String),
    /// An event, or an intent of a call, is there twice.
    Twice(String),
    /// A request with an id of its own was made again when it had ended.
    MadeTwice(String),
    /// A request with an id of its own was answered in two ways.
    AnsweredDifferently(String),
}

/// What was joined, so that a run which met nothing is seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Joined {
    pub(crate) events: usize,
    pub(crate) intents: usize,
    pub(crate) aws_calls: usize,
    pub(crate) changed: usize,
    pub(crate) refused: usize,
    /// Answers that say that the audit log cannot be written.
    pub(crate) unavailable: usize,
    /// Changes whose caller learnt nothing.
    pub(crate) unanswered: usize,
    /// Intents that no outcome ends, but a settlement.
    pub(crate) cut_off: usize,
    /// Of these, what AWS had executed.
    pub(crate) cut_off_executed: usize,
    /// Intents with an outcome that is not known, and a settlement.
    pub(crate) unknown: usize,
    /// Requests with an id of their own.
    pub(crate) own_ids: usize,
    /// How often one was told again what it was told before.
    pub(crate) replayed: usize,
    /// Of these, after the service had been started anew.
    pub(crate) replayed_later: usize,
    /// Answers to one that were read back.
    pub(crate) read_back: usize,
}

pub(crate) struct Intent<'e> {
    pub(crate) event: &'e Event,
    change: Change,
    /// Events that close it, in the log's order.
    pub(crate) ends: Vec<&'e Event>,
}

struct Join<'e> {
    intents: BTreeMap<&'e str, Intent<'e>>,
    by_change: HashMap<Change, Vec<&'e str>>,
    defects: Vec<Defect>,
    joined: Joined,
}

/// Joins the three.
pub(crate) fn join(events: &[Event], calls: &[Entry], answers: &[Answer]) -> Result<Joined, Vec<Defect>> {
    let mut join = Join::of(events);
    join.ends();
    let reached = join.calls(calls);
    join.settlements(calls);
    join.answers(events, calls, answers, &reached);
    join.defects.extend(request_ids::check(&join.intents, calls, answers, &mut join.joined));
    join.joined.events = events.len();
    join.joined.aws_calls = calls.len();
    if join.defects.is_empty() {
        return Ok(join.joined);
    }
    join.defects.truncate(MAX);
    Err(join.defects)
}

/// A change as AWS was asked for it.
pub(crate) fn change_of(call: &Entry) -> Change {
    let text = |name: &str| call.params.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let by_name = |name| format!("arn:aws:logs:{}:{}:log-group:{name}", call.region, call.account);
    let resource =
        text("resourceIdentifier").or_else(|| text("logGroupName").map(by_name)).unwrap_or_default();
    match text("kmsKeyId") {
        Some(key) => Change::set(&resource, &key),
        None => Change::take_away(&resource),
    }
}

pub(crate) fn executed(call: &Entry) -> bool {
    call.outcome == Outcome::Executed
}

// === impl Join ===

impl<'e> Join<'e> {
    fn of(events: &'e [Event]) -> Self {
        let mut join = Self {
            intents: BTreeMap::new(),
            by_change: HashMap::new(),
            defects: Vec::new(),
            joined: Joined::default(),
        };
        let (mut ids, mut correlations) = (HashSet::new(), HashSet::new());
        for event in events {
            if !ids.insert(&event.id) {
                join.defects.push(Defect::Twice(format!("{event:?}")));
            }
            if event.kind == "intent" {
                if !correlations.insert(&event.correlation) {
                    join.defects.push(Defect::Twice(format!("{event:?}")));
                }
                let resource = event.resource.clone().unwrap_or_default();
                let change = match event.operation.as_str() {
                    "AssociateKmsKey" => Change::set(&resource, event.key.as_deref().unwrap_or_default()),
                    _ => Change::take_away(&resource),
                };
                join.by_change.entry(change.clone()).or_default().push(&event.id);
                join.intents.insert(&event.id, Intent { event, change, ends: Vec::new() });
            }
            if let Some(closed) = &event.closes {
                match join.intents.get_mut(closed.as_str()) {
                    Some(intent) => intent.ends.push(event),
                    None => join.defects.push(Defect::Ends(format!("closes nothing before it: {event:?}"))),
                }
            }
        }
        join.joined.intents = join.intents.len();
        join
    }

    /// Each intent has one outcome, or a settlement, or an unknown outcome and then a settlement.
    fn ends(&mut self) {
        for Intent { event, ends, .. } in self.intents.values() {
            let outcomes: Vec<_> =
                ends.iter().map(|end| (end.kind.as_str(), end.outcome.as_deref())).collect();
            match outcomes.as_slice() {
                [("outcome", outcome)] if *outcome != Some("OUTCOME_UNKNOWN") => {}
                [("settled", _)] => self.joined.cut_off += 1,
                [("outcome", Some("OUTCOME_UNKNOWN")), ("settled", _)] => self.joined.unknown += 1,
                _ => self.defects.push(Defect::Ends(format!("{outcomes:?} end {event:?}"))),
            }
        }
    }

    /// Each call of AWS has one intent before it, and that intent's end after it. Tells which intents
    /// reached AWS.
    fn calls(&mut self, calls: &[Entry]) -> HashSet<&'e str> {
        let ends = self.intents.iter().flat_map(|(id, intent)| intent.ends.iter().map(|end| (*id, *end)));
        let by_request: HashMap<String, &str> = ends
            .flat_map(|(id, end)| end.aws_request_ids.iter().map(move |request| (request.clone(), id)))
            .collect();
        let mut reached = HashSet::new();
        for call in calls {
            let change = change_of(call);
            let fitting: Vec<&str> = match by_request.get(&call.request_id) {
                Some(intent) => vec![*intent],
                None => self.by_change.get(&change).cloned().unwrap_or_default(),
            };
            let fitting: Vec<&str> = fitting.into_iter().filter(|id| self.fits(id, &change, call)).collect();
            match fitting.as_slice() {
                [] => self
                    .defects
                    .push(Defect::NoIntent(format!("{change:?} at {} ({:?})", call.time, call.outcome))),
                [one] => drop(reached.insert(*one)),
                // Of a resource that all callers change, one may be open since a kill beside another.
                several if !change.is_cold() => reached.extend(several),
                several => self.defects.push(Defect::ManyIntents(format!("{several:?} before {change:?}"))),
            }
        }
        reached
    }

    fn fits(&self, id: &str, change: &Change, call: &Entry) -> bool {
        let Some(intent) = self.intents.get(id) else { return false };
        let last = intent.ends.last().map_or(i64::MAX, |end| end.time);
        intent.change == *change
            && intent.event.time <= call.time.as_microsecond()
            && call.decided.unwrap_or(call.time).as_microsecond() <= last
    }

    /// What was read back of a resource that one caller alone changes is what AWS had done by then.
    fn settlements(&mut self, calls: &[Entry]) {
        let done: HashMap<Change, i64> = calls
            .iter()
            .filter(|call| executed(call))
            .map(|call| (change_of(call), call.decided.unwrap_or(call.time).as_microsecond()))
            .collect();
        for Intent { change, ends, .. } in self.intents.values().filter(|intent| intent.change.is_cold()) {
            let Some(end) = ends.last().filter(|end| end.kind == "settled") else { continue };
            let executed = done.get(change).is_some_and(|time| *time <= end.time);
            self.joined.cut_off_executed += usize::from(executed && ends.len() == 1);
            if end.outcome.as_deref() != Some(if executed { "in force" } else { "not in force" }) {
                self.defects.push(Defect::ReconciledWrongly(format!("executed: {executed}, {end:?}")));
            }
        }
    }

    fn answers(&mut self, events: &[Event], calls: &[Entry], answers: &[Answer], reached: &HashSet<&str>) {
        let by_id: HashMap<&str, &Event> = events.iter().map(|event| (event.id.as_str(), event)).collect();
        let changed: HashMap<&str, &Entry> =
            calls.iter().filter(|call| executed(call)).map(|call| (call.request_id.as_str(), call)).collect();
        let intents: HashMap<String, String> = self
            .intents
            .values()
            .map(|intent| (intent.event.correlation.clone(), intent.event.id.clone()))
            .collect();
        for answer in answers {
            let intent = intents.get(&answer.id).and_then(|id| self.intents.get(id.as_str()));
            let sent = intent.is_some_and(|intent| reached.contains(intent.event.id.as_str()));
            let describe_answer = || format!("{answer:?}, {:?}", intent.map(|intent| &intent.ends));
            let defect = match &answer.result {
                Answered::Nothing | Answered::NobodyThere => {
                    self.joined.unanswered += 1;
                    None
                }
                // Held against all the answers to the same request.
                Answered::Made { .. } if answer.own.is_some() => None,
                Answered::Made { event, aws_request_id, whole: _ } => {
                    self.joined.changed += 1;
                    let outcome = by_id.get(event.as_str()).filter(|event| {
                        event.kind == "outcome"
                            && event.outcome.as_deref() == Some("OK")
                            && event.correlation == answer.id
                            && event.aws_request_ids.contains(aws_request_id)
                    });
                    let done =
                        changed.get(aws_request_id.as_str()).filter(|call| change_of(call) == answer.change);
                    let (is_stored, is_done) = (outcome.is_some() && intent.is_some(), done.is_some());
                    let lost = (!is_stored).then(|| Defect::AnswerNotInLog(describe_answer()));
                    lost.or_else(|| (!is_done).then(|| Defect::AnswerNotInAws(describe_answer())))
                }
                // It was made, and its record was late: it is there now.
                Answered::Refused { executed: true, .. } => {
                    self.joined.refused += 1;
                    (!sent).then(|| Defect::AnswerNotInLog(describe_answer()))
                }
                Answered::Refused { reason, executed: false, pending } => {
                    self.joined.refused += 1;
                    let unavailable = reason == "AUDIT_UNAVAILABLE";
                    self.joined.unavailable += usize::from(unavailable);
                    let outcome = intent.and_then(|intent| intent.ends.first());
                    // How it ended is told before it is kept where the store is late, and then said to be pending;
                    // a kill in between leaves the settling, which says the same or that it cannot tell.
                    let late = |end: &Event| {
                        let in_force = end.outcome.as_deref() == Some("in force");
                        *pending && end.kind == "settled" && (reason == "OUTCOME_UNKNOWN" || !in_force)
                    };
                    let as_answered =
                        outcome.is_some_and(|end| end.outcome.as_ref() == Some(reason) || late(end));
                    match (unavailable, sent) {
                        (true, true) => Some(Defect::SentAllTheSame(describe_answer())),
                        (false, true) if !as_answered => Some(Defect::AnswerNotInLog(describe_answer())),
                        (_, _) => None,
                    }
                }
            };
            self.defects.extend(defect);
        }
    }
}
