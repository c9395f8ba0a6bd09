//! Every call that came in, in order, and what became of it: for tests to hold against what the
//! service says that it did. Bounded; it can be switched off.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{api_error::ApiError, wire::Service};

/// Longest text of one parameter that is kept, in bytes.
const MAX_PARAMETER: usize = 4096;

/// One call.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Its place in the order of arrival, from 1.
    pub sequence: u64,
    /// When it came in.
    #[serde(serialize_with = "to_text")]
    pub time: Timestamp,
    /// The service.
    pub service: Service,
    /// The operation.
    pub operation: String,
    /// The account it acts on: for `AssumeRole` the role's, else the caller's.
    pub account: String,
    /// The Region it was signed for.
    pub region: String,
    /// The ARN of who called; empty where the credentials are no good.
    pub caller: String,
    /// The name of the caller's role; for `AssumeRole`, of the role asked for.
    pub role: Option<String>,
    /// The name of the caller's session; for `AssumeRole`, of the session asked for.
    pub session_name: Option<String>,
    /// The session's source identity, likewise.
    pub source_identity: Option<String>,
    /// For `AssumeRole`, whether an external id came with it. The id itself is not kept.
    pub external_id: Option<bool>,
    /// All other parameters.
    pub params: Map<String, Value>,
    /// What the answer's `x-amzn-requestid` says.
    pub request_id: String,
    /// The SDK's own id of the attempts that belong together.
    pub invocation_id: Option<String>,
    /// What was done.
    pub outcome: Outcome,
    /// When that was decided.
    #[serde(serialize_with = "as_text_if_any")]
    pub decided: Option<Timestamp>,
    /// Whether an answer that tells the outcome was handed to the connection.
    pub answered: bool,
    /// The numbers of the faults that met it.
    pub faults: Vec<u64>,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Nothing yet, and for good if the caller gave up or a fault kept it from taking effect.
    Received,
    /// It took effect.
    Executed,
    /// It was refused and changed nothing.
    Refused {
        /// The error code.
        code: String,
        /// The error's text.
        message: String,
        /// The HTTP status.
        status: u16,
    },
}

/// All calls, the oldest first.
#[derive(Debug)]
pub(crate) struct CallLog {
    limit: usize,
    state: Mutex<LogState>,
}

#[derive(Debug, Default)]
struct LogState {
    last: u64,
    entries: VecDeque<Entry>,
}

// === impl Journal ===

impl CallLog {
    /// Keeps the last `limit` calls; none at all where that is 0.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.limit > 0
    }

    /// Takes an entry in and gives it its number.
    pub(crate) fn open(&self, mut entry: Entry) -> u64 {
        let mut state = self.locked();
        state.last += 1;
        entry.sequence = state.last;
        while state.entries.len() >= self.limit {
            state.entries.pop_front();
        }
        state.entries.push_back(entry);
        state.last
    }

    /// Writes down what was done.
    pub(crate) fn assign_outcome(&self, sequence: u64, result: Result<(), &ApiError>, now: Timestamp) {
        self.change(sequence, |entry| {
            entry.decided = Some(now);
            entry.outcome = match result {
                Ok(()) => Outcome::Executed,
                Err(refusal) => Outcome::Refused {
                    code: refusal.code.clone().into_owned(),
                    message: refusal.message.clone(),
                    status: refusal.status.as_u16(),
                },
            };
        });
    }

    /// Writes down that the outcome was told.
    pub(crate) fn mark_answered(&self, sequence: u64) {
        self.change(sequence, |entry| entry.answered = true);
    }

    /// The calls after `sequence`, so many at most.
    pub(crate) fn since(&self, sequence: u64, limit: usize) -> Vec<Entry> {
        let state = self.locked();
        let newer = state.entries.iter().filter(|e| e.sequence > sequence);
        newer.take(limit).cloned().collect()
    }

    /// Forgets all calls; the numbers go on.
    pub(crate) fn clear(&self) {
        self.locked().entries.clear();
    }

    fn change(&self, sequence: u64, how: impl FnOnce(&mut Entry)) {
        let mut state = self.locked();
        let behind = state.last.saturating_sub(sequence);
        let location =
            usize::try_from(behind).ok().and_then(|behind| state.entries.len().checked_sub(behind + 1));
        if let Some(entry) = location.and_then(|location| state.entries.get_mut(location)) {
            how(entry);
        }
    }

    fn locked(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parameters as they may be kept: without the external id, and long ones by their length.
pub(crate) fn truncate(params: &Map<String, Value>) -> Map<String, Value> {
    params
        .iter()
        .filter(|(name, _)| *name != "ExternalId")
        .map(|(name, value)| {
            let value = match (value.as_str(), value.as_array()) {
                (Some(text), _) if text.len() > MAX_PARAMETER => format!("… {} bytes", text.len()).into(),
                (_, Some(items)) if name == "logEvents" => format!("… {} events", items.len()).into(),
                _ => value.clone(),
            };
            (name.clone(), value)
        })
        .collect()
}

fn to_text<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}

#[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
fn as_text_if_any<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => to.collect_str(time),
        None => to.serialize_none(),
    }
}
