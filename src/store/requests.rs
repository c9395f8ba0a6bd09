//! Requests that came with an id of their own, as rows: written as JSON that the database takes apart.

use serde::Serialize;

use super::columns::Columns;
use crate::{
    domain::{
        audit::EventId,
        request::{Answer, Fingerprint, KeptRequest, REMEMBERED, RequestEnd, RequestStep},
        time::Timestamp,
    },
    ports::Unavailable,
};

/// What a batch says of requests.
pub(super) struct Rows<'a> {
    pub(super) begun: Vec<Begun<'a>>,
    /// What expires by then is forgotten.
    pub(super) forgotten: i64,
    pub(super) ended: Vec<Ended<'a>>,
}

#[derive(Serialize)]
pub(super) struct Begun<'a>(&'a str, String, &'a str, String, i64, i64, i64);

#[derive(Serialize)]
pub(super) struct Ended<'a>(String, String, &'static str, Option<&'a str>);

pub(super) fn rows(steps: &[(EventId, RequestStep)]) -> Rows<'_> {
    let mut rows = Rows { begun: Vec::new(), forgotten: i64::MIN, ended: Vec::new() };
    for (event, step) in steps {
        match step {
            RequestStep::Begun { id, fingerprint, at, running_until } => {
                rows.forgotten = rows.forgotten.max(at.as_micros());
                rows.begun.push(Begun(
                    id.tenant.as_str(),
                    id.to_string(),
                    &fingerprint.0,
                    hex(*event),
                    running_until.as_micros(),
                    at.plus(REMEMBERED).as_micros(),
                    at.as_micros(),
                ));
            }
            RequestStep::Ended { intent, end } => {
                let (state, answer) = match end {
                    RequestEnd::Done(answer) => ("done", Some(&*answer.0)),
                    RequestEnd::Refused(answer) => ("refused", Some(&*answer.0)),
                    RequestEnd::Unknown => ("unknown", None),
                    RequestEnd::Open => ("open", None),
                };
                rows.ended.push(Ended(hex(*intent), hex(*event), state, answer));
            }
        }
    }
    rows
}

fn hex(id: EventId) -> String {
    id.0.as_simple().to_string()
}

/// A request from its row; the events by which it was begun and ended are read by the database's own means.
pub(super) fn kept<R: Columns>(
    row: &R,
    intent: EventId,
    outcome: Option<EventId>,
) -> Result<KeptRequest, Unavailable> {
    let answer = || row.some_text(5).map(|text| Answer(text.into()));
    let end = match row.some_text(4)? {
        "done" => Some(RequestEnd::Done(answer()?)),
        "refused" => Some(RequestEnd::Refused(answer()?)),
        "unknown" => Some(RequestEnd::Unknown),
        "open" => Some(RequestEnd::Open),
        _running => None,
    };
    Ok(KeptRequest {
        fingerprint: Fingerprint(row.some_text(0)?.into()),
        intent,
        outcome,
        running_until: Timestamp::from_micros(row.some_number(3)?),
        end,
    })
}
