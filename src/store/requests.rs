//! Requests that came with an id of their own, as rows: written as JSON that the database takes apart.

use serde::Serialize;

use super::columns::Columns;
use crate::{
    domain::{
        audit::EventId,
        idempotency::{Answer, Fingerprint, IDEMPOTENCY_WINDOW, RecordedStep, RequestOutcome, RequestRecord},
        time::Timestamp,
    },
    ports::Unavailable,
};

/// What a batch says of requests.
pub(super) struct Rows<'a> {
    pub(super) started: Vec<IntentRow<'a>>,
    /// What expires by then is forgotten.
    pub(super) forgotten: i64,
    pub(super) outcomes: Vec<OutcomeRow<'a>>,
}

#[derive(Serialize)]
pub(super) struct IntentRow<'a>(&'a str, String, &'a str, String, i64, i64, i64);

#[derive(Serialize)]
pub(super) struct OutcomeRow<'a>(String, String, &'static str, Option<&'a str>);

pub(super) fn rows(steps: &[(EventId, RecordedStep)]) -> Rows<'_> {
    let mut rows = Rows { started: Vec::new(), forgotten: i64::MIN, outcomes: Vec::new() };
    for (event, step) in steps {
        match step {
            RecordedStep::Intent { id, fingerprint, at, running_until } => {
                rows.forgotten = rows.forgotten.max(at.as_micros());
                rows.started.push(IntentRow(
                    id.tenant.as_str(),
                    id.to_string(),
                    &fingerprint.0,
                    hex(*event),
                    running_until.as_micros(),
                    at.plus(IDEMPOTENCY_WINDOW).as_micros(),
                    at.as_micros(),
                ));
            }
            RecordedStep::Outcome { intent, end } => {
                let (state, answer) = match end {
                    RequestOutcome::Completed(answer) => ("done", Some(&*answer.0)),
                    RequestOutcome::Refused(answer) => ("refused", Some(&*answer.0)),
                    RequestOutcome::Unknown => ("unknown", None),
                    RequestOutcome::Open => ("open", None),
                };
                rows.outcomes.push(OutcomeRow(hex(*intent), hex(*event), state, answer));
            }
        }
    }
    rows
}

fn hex(id: EventId) -> String {
    id.0.as_simple().to_string()
}

/// A request from its row; the events by which it was begun and ended are read by the database's own means.
pub(super) fn to_record<R: Columns>(
    row: &R,
    intent: EventId,
    outcome: Option<EventId>,
) -> Result<RequestRecord, Unavailable> {
    let answer = || row.required_text(5).map(|text| Answer(text.into()));
    let end = match row.required_text(4)? {
        "done" => Some(RequestOutcome::Completed(answer()?)),
        "refused" => Some(RequestOutcome::Refused(answer()?)),
        "unknown" => Some(RequestOutcome::Unknown),
        "open" => Some(RequestOutcome::Open),
        _running => None,
    };
    Ok(RequestRecord {
        fingerprint: Fingerprint(row.required_text(0)?.into()),
        intent,
        outcome,
        running_until: Timestamp::from_micros(row.required_number(3)?),
        end,
    })
}
