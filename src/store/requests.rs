//! Converts the records of requests to and from rows. It writes rows as JSON, which the database splits into
//! columns.

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

/// The rows of a batch's request steps.
pub(super) struct Rows<'a> {
    pub(super) started: Vec<IntentRow<'a>>,
    /// Records that expire by this time are deleted.
    pub(super) expired_until: i64,
    pub(super) outcomes: Vec<OutcomeRow<'a>>,
}

#[derive(Serialize)]
pub(super) struct IntentRow<'a>(&'a str, String, &'a str, String, i64, i64, i64);

#[derive(Serialize)]
pub(super) struct OutcomeRow<'a>(String, String, &'static str, Option<&'a str>);

pub(super) fn rows(steps: &[(EventId, RecordedStep)]) -> Rows<'_> {
    let mut rows = Rows { started: Vec::new(), expired_until: i64::MIN, outcomes: Vec::new() };
    for (event, step) in steps {
        match step {
            RecordedStep::Intent { id, fingerprint, at, running_until } => {
                rows.expired_until = rows.expired_until.max(at.as_micros());
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

/// Reads a record from its row. The caller reads the ids of the intent and the outcome, whose types depend on
/// the database.
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
