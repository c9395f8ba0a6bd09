//! The join: compares the audit log, the calls that AWS received, and the answers that callers received.

use std::collections::{BTreeMap, HashMap, HashSet};

use logkey::sandbox::call_log::{Entry, Outcome};

use crate::{
    load::{Answer, CallResult, Change},
    log::Event,
    request_ids,
};

/// The maximum number of defects reported for one run.
const MAX_DEFECTS: usize = 20;

/// A contradiction between the log, AWS and the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// AWS received a call without an earlier durable intent.
    NoIntent(String),
    /// AWS received one call that matches several intents.
    AmbiguousIntent(String),
    /// An intent has no outcome and no `settled` event, or has two.
    WrongEnds(String),
    /// The reconciliation of an intent contradicts what AWS did.
    ReconciledWrongly(String),
    /// A caller's answer is not in the log, or differs from it.
    AnswerNotInLog(String),
    /// A caller's answer says that a change was made, but AWS did not make it.
    AnswerNotInAws(String),
    /// A caller's answer says that nothing was sent, but AWS received a call.
    SentDespiteError(String),
    /// An event, or the intent of a call, appears twice.
    Duplicate(String),
    /// A request with an idempotency key was sent again after it had ended.
    ChangedTwice(String),
    /// A request with an idempotency key got two different answers.
    AnsweredDifferently(String),
}

/// The counts of a join. They show whether a run exercised anything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Joined {
    pub(crate) events: usize,
    pub(crate) intents: usize,
    pub(crate) aws_calls: usize,
    pub(crate) changed: usize,
    pub(crate) refused: usize,
    /// Answers with `AUDIT_UNAVAILABLE`.
    pub(crate) unavailable: usize,
    /// Changes whose caller got no answer.
    pub(crate) unanswered: usize,
    /// Intents with a `settled` event and no outcome.
    pub(crate) cut_off: usize,
    /// Those of them that AWS had executed.
    pub(crate) cut_off_executed: usize,
    /// Intents with an unknown outcome and then a `settled` event.
    pub(crate) unknown: usize,
    /// Intents whose process was stopped until they had been reconciled, and then recorded an outcome that agrees.
    pub(crate) late: usize,
    /// Requests with an idempotency key.
    pub(crate) idempotency_keys: usize,
    /// How often such a request got its recorded response again.
    pub(crate) replayed: usize,
    /// How often it did so after a restart of the service.
    pub(crate) replayed_after_restart: usize,
    /// Answers to such a request that came from a read-back.
    pub(crate) read_back: usize,
}

pub(crate) struct Intent<'e> {
    pub(crate) event: &'e Event,
    change: Change,
    /// The events that close the intent, in the log's order.
    pub(crate) ends: Vec<&'e Event>,
}

struct Join<'e> {
    intents: BTreeMap<&'e str, Intent<'e>>,
    by_change: HashMap<Change, Vec<&'e str>>,
    defects: Vec<Defect>,
    joined: Joined,
}

/// Joins the log's events, AWS's calls and the callers' answers.
pub(crate) fn join(events: &[Event], calls: &[Entry], answers: &[Answer]) -> Result<Joined, Vec<Defect>> {
    let mut join = Join::of(events);
    join.check_ends();
    let reached = join.check_calls(calls);
    join.check_reconciliations(calls);
    join.check_answers(events, calls, answers, &reached);
    join.defects.extend(request_ids::check(&join.intents, calls, answers, &mut join.joined));
    join.joined.events = events.len();
    join.joined.aws_calls = calls.len();
    if join.defects.is_empty() {
        return Ok(join.joined);
    }
    join.defects.truncate(MAX_DEFECTS);
    Err(join.defects)
}

/// The change that a call to AWS asks for.
pub(crate) fn change_of(call: &Entry) -> Change {
    let text = |name: &str| call.params.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let by_name = |name| format!("arn:aws:logs:{}:{}:log-group:{name}", call.region, call.account);
    let resource =
        text("resourceIdentifier").or_else(|| text("logGroupName").map(by_name)).unwrap_or_default();
    match text("kmsKeyId") {
        Some(key) => Change::set(&resource, &key),
        None => Change::remove(&resource),
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
                join.defects.push(Defect::Duplicate(format!("{event:?}")));
            }
            if event.kind == "intent" {
                if !correlations.insert(&event.correlation) {
                    join.defects.push(Defect::Duplicate(format!("{event:?}")));
                }
                let resource = event.resource.clone().unwrap_or_default();
                let change = match event.operation.as_str() {
                    "AssociateKmsKey" => Change::set(&resource, event.key.as_deref().unwrap_or_default()),
                    _ => Change::remove(&resource),
                };
                join.by_change.entry(change.clone()).or_default().push(&event.id);
                join.intents.insert(&event.id, Intent { event, change, ends: Vec::new() });
            }
            if let Some(closed) = &event.closes {
                match join.intents.get_mut(closed.as_str()) {
                    Some(intent) => intent.ends.push(event),
                    None => {
                        join.defects.push(Defect::WrongEnds(format!("closes no earlier intent: {event:?}")));
                    }
                }
            }
        }
        join.joined.intents = join.intents.len();
        join
    }

    /// Each intent has one outcome, or a `settled` event, or an unknown outcome and then a `settled` event.
    fn check_ends(&mut self) {
        for Intent { event, ends, .. } in self.intents.values() {
            let outcomes: Vec<_> =
                ends.iter().map(|end| (end.kind.as_str(), end.outcome.as_deref())).collect();
            match outcomes.as_slice() {
                [("outcome", outcome)] if *outcome != Some("OUTCOME_UNKNOWN") => {}
                [("settled", _)] => self.joined.cut_off += 1,
                [("outcome", Some("OUTCOME_UNKNOWN")), ("settled", _)] => self.joined.unknown += 1,
                [("settled", Some(found)), ("outcome", Some(outcome))]
                    if *outcome == "OUTCOME_UNKNOWN" || (*found == "in force") == (*outcome == "OK") =>
                {
                    self.joined.late += 1;
                }
                _ => self.defects.push(Defect::WrongEnds(format!("{outcomes:?} close {event:?}"))),
            }
        }
    }

    /// Each call to AWS has one earlier intent, whose end is later than the call. Returns the intents that
    /// reached AWS.
    fn check_calls(&mut self, calls: &[Entry]) -> HashSet<&'e str> {
        let ends = self.intents.iter().flat_map(|(id, intent)| intent.ends.iter().map(|end| (*id, *end)));
        let by_request: HashMap<String, &str> = ends
            .flat_map(|(id, end)| end.aws_request_ids.iter().map(move |request| (request.clone(), id)))
            .collect();
        let mut reached = HashSet::new();
        for call in calls {
            let change = change_of(call);
            let matching: Vec<&str> = match by_request.get(&call.request_id) {
                Some(intent) => vec![*intent],
                None => self.by_change.get(&change).cloned().unwrap_or_default(),
            };
            let matching: Vec<&str> =
                matching.into_iter().filter(|id| self.matches(id, &change, call)).collect();
            match matching.as_slice() {
                [] => self
                    .defects
                    .push(Defect::NoIntent(format!("{change:?} at {} ({:?})", call.time, call.outcome))),
                [one] => drop(reached.insert(*one)),
                // On a resource that all callers change, an intent can be open since a kill while another
                // starts.
                several if !change.is_cold() => reached.extend(several),
                several => {
                    self.defects.push(Defect::AmbiguousIntent(format!("{several:?} before {change:?}")));
                }
            }
        }
        reached
    }

    fn matches(&self, id: &str, change: &Change, call: &Entry) -> bool {
        let Some(intent) = self.intents.get(id) else { return false };
        // Nothing may be sent for an intent after its reconciliation, even if its process records an outcome later.
        let reconciled = intent.ends.iter().find(|end| end.kind == "settled");
        let last = reconciled.or(intent.ends.last()).map_or(i64::MAX, |end| end.time);
        intent.change == *change
            && intent.event.time <= call.time.as_microsecond()
            && call.decided.unwrap_or(call.time).as_microsecond() <= last
    }

    /// For a resource that only one caller changes, the read-back equals what AWS had done by then.
    fn check_reconciliations(&mut self, calls: &[Entry]) {
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

    fn check_answers(
        &mut self,
        events: &[Event],
        calls: &[Entry],
        answers: &[Answer],
        reached: &HashSet<&str>,
    ) {
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
                CallResult::NoResponse | CallResult::ConnectionRefused => {
                    self.joined.unanswered += 1;
                    None
                }
                // `request_ids::check` compares all answers to the same request.
                CallResult::Succeeded { .. } if answer.idempotency_key.is_some() => None,
                CallResult::Succeeded { event, aws_request_id, response: _ } => {
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
                // AWS made the change, and its record was late; by now it is in the log.
                CallResult::Failed { executed: true, .. } => {
                    self.joined.refused += 1;
                    (!sent).then(|| Defect::AnswerNotInLog(describe_answer()))
                }
                CallResult::Failed { reason, executed: false, pending } => {
                    self.joined.refused += 1;
                    let unavailable = reason == "AUDIT_UNAVAILABLE";
                    self.joined.unavailable += usize::from(unavailable);
                    let outcome = intent.and_then(|intent| intent.ends.first());
                    // If the store is slow, the service answers before it records the outcome, and says that
                    // the record is pending. After a kill in between, the reconciliation finds the same
                    // outcome or none.
                    let late = |end: &Event| {
                        let in_force = end.outcome.as_deref() == Some("in force");
                        *pending && end.kind == "settled" && (reason == "OUTCOME_UNKNOWN" || !in_force)
                    };
                    let as_answered =
                        outcome.is_some_and(|end| end.outcome.as_ref() == Some(reason) || late(end));
                    match (unavailable, sent) {
                        (true, true) => Some(Defect::SentDespiteError(describe_answer())),
                        (false, true) if !as_answered => Some(Defect::AnswerNotInLog(describe_answer())),
                        (_, _) => None,
                    }
                }
            };
            self.defects.extend(defect);
        }
    }
}
