//! Records every call in order of arrival, with its outcome. Tests compare it with what the service reports.
//! The number of calls is bounded, and recording can be switched off.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{api_error::ApiError, service::Service};

/// The maximum length of a recorded parameter, in bytes.
const MAX_PARAMETER: usize = 4096;

/// One recorded call.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The number of the call in order of arrival, from 1.
    pub sequence: u64,
    /// The time of arrival.
    #[serde(serialize_with = "to_text")]
    pub time: Timestamp,
    /// The AWS service that was called.
    pub service: Service,
    /// The operation, such as `AssociateKmsKey`.
    pub operation: String,
    /// The account: for `AssumeRole` that of the assumed role, otherwise the caller's.
    pub account: String,
    /// The Region that the request was signed for.
    pub region: String,
    /// The ARN of the caller; empty if the credentials are invalid.
    pub caller: String,
    /// The name of the caller's role; for `AssumeRole`, of the assumed role.
    pub role: Option<String>,
    /// The name of the caller's session; for `AssumeRole`, of the requested session.
    pub session_name: Option<String>,
    /// The source identity of that session.
    pub source_identity: Option<String>,
    /// For `AssumeRole`, whether the request had an external id. The id itself is not recorded.
    pub external_id: Option<bool>,
    /// All other parameters; long values are replaced by their length.
    pub params: Map<String, Value>,
    /// The value of `x-amzn-requestid` in the response.
    pub request_id: String,
    /// The SDK's id for all attempts of one invocation.
    pub invocation_id: Option<String>,
    /// The `traceparent` of the request.
    pub traceparent: Option<String>,
    /// Whether the call took effect, was refused, or neither.
    pub outcome: Outcome,
    /// When the outcome was decided.
    #[serde(serialize_with = "as_text_if_any")]
    pub decided: Option<Timestamp>,
    /// Whether a response with this outcome was passed to the connection.
    pub answered: bool,
    /// The ids of the faults that affected the call.
    pub faults: Vec<u64>,
}

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// No outcome yet. It stays so if the caller gave up or a fault stopped the call before its effect.
    Received,
    /// It took effect.
    Executed,
    /// It was refused and changed nothing.
    Refused {
        /// The error code.
        code: String,
        /// The error message.
        message: String,
        /// The HTTP status.
        status: u16,
    },
}

/// The recorded calls, oldest first.
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

// === impl CallLog ===

impl CallLog {
    /// Keeps the last `limit` calls; 0 switches recording off.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.limit > 0
    }

    /// Appends an entry and returns its number.
    pub(crate) fn open(&self, mut entry: Entry) -> u64 {
        let mut state = self.state.lock();
        state.last += 1;
        entry.sequence = state.last;
        while state.entries.len() >= self.limit {
            state.entries.pop_front();
        }
        state.entries.push_back(entry);
        state.last
    }

    /// Records the outcome of a call.
    pub(crate) fn assign_outcome(&self, sequence: u64, result: Result<(), &ApiError>, now: Timestamp) {
        self.update(sequence, |entry| {
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

    /// Records that the caller could learn the outcome.
    pub(crate) fn mark_answered(&self, sequence: u64) {
        self.update(sequence, |entry| entry.answered = true);
    }

    /// The calls after `sequence`, at most `limit`.
    pub(crate) fn since(&self, sequence: u64, limit: usize) -> Vec<Entry> {
        let state = self.state.lock();
        let newer = state.entries.iter().filter(|e| e.sequence > sequence);
        newer.take(limit).cloned().collect()
    }

    /// Deletes all calls. The numbering continues.
    pub(crate) fn clear(&self) {
        self.state.lock().entries.clear();
    }

    fn update(&self, sequence: u64, change: impl FnOnce(&mut Entry)) {
        let mut state = self.state.lock();
        let behind = state.last.saturating_sub(sequence);
        let index =
            usize::try_from(behind).ok().and_then(|behind| state.entries.len().checked_sub(behind + 1));
        if let Some(entry) = index.and_then(|index| state.entries.get_mut(index)) {
            change(entry);
        }
    }
}

/// The parameters to record: without the external id, and with the length instead of a long value.
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

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn as_text_if_any<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => to.collect_str(time),
        None => to.serialize_none(),
    }
}
