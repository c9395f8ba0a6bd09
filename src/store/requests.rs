//! Converts the records of requests to and from rows. It writes rows as JSON, which the database splits into
//! columns.

use serde::{Serialize, Serializer};

use super::{columns::Columns, database::Database};
use crate::{
    domain::{
        audit::EventId,
        idempotency::{
            Answer, Fingerprint, IDEMPOTENCY_WINDOW, IdempotencyKey, RecordedStep, RequestOutcome,
            RequestRecord,
        },
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

/// The begin of a request, as a JSON array for the database.
pub(super) struct IntentRow<'a> {
    tenant: &'a str,
    id: String,
    fingerprint: &'a str,
    intent: String,
    running_until: i64,
    expires: i64,
    at: i64,
}

/// The end of a request, as a JSON array for the database.
pub(super) struct OutcomeRow<'a> {
    intent: String,
    outcome: String,
    state: &'static str,
    answer: Option<&'a str>,
}

/// Selects the record of a request. `$intent` and `$outcome` select the ids of events for
/// [`Columns::event_id`].
macro_rules! find_sql {
    ($intent:literal, $outcome:literal) => {
        concat!(
            "SELECT fingerprint, ",
            $intent,
            ", ",
            $outcome,
            ", running_until, state, answer FROM request WHERE tenant = $1 AND id = $2 AND expires > $3"
        )
    };
}
pub(super) use find_sql;

pub(super) fn rows(steps: &[(EventId, RecordedStep)]) -> Rows<'_> {
    let mut rows = Rows { started: Vec::new(), expired_until: i64::MIN, outcomes: Vec::new() };
    for (event, step) in steps {
        match step {
            RecordedStep::Intent { id, fingerprint, at, running_until } => {
                rows.expired_until = rows.expired_until.max(at.as_micros());
                rows.started.push(IntentRow {
                    tenant: id.tenant.as_str(),
                    id: id.to_string(),
                    fingerprint: &fingerprint.0,
                    intent: hex(*event),
                    running_until: running_until.as_micros(),
                    expires: at.plus(IDEMPOTENCY_WINDOW).as_micros(),
                    at: at.as_micros(),
                });
            }
            RecordedStep::Outcome { intent, end } => {
                let (state, answer) = match end {
                    RequestOutcome::Completed(answer) => ("done", Some(&*answer.0)),
                    RequestOutcome::Refused(answer) => ("refused", Some(&*answer.0)),
                    RequestOutcome::Unknown => ("unknown", None),
                    RequestOutcome::Open => ("open", None),
                };
                let (intent, outcome) = (hex(*intent), hex(*event));
                rows.outcomes.push(OutcomeRow { intent, outcome, state, answer });
            }
        }
    }
    rows
}

fn hex(id: EventId) -> String {
    id.0.as_simple().to_string()
}

/// The record of this request, by the statement [`find_sql`]. `None` if it has expired at `now`.
pub(super) async fn find(
    database: &impl Database,
    sql: &'static str,
    id: &IdempotencyKey,
    now: Timestamp,
) -> Result<Option<RequestRecord>, Unavailable> {
    let text = id.to_string();
    let params = [id.tenant.as_str().into(), (&*text).into(), now.as_micros().into()];
    database.rows(sql, &params).await?.first().map(to_record).transpose()
}

fn to_record<R: Columns>(row: &R) -> Result<RequestRecord, Unavailable> {
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
        intent: row.required_event_id(1)?,
        outcome: row.event_id(2)?,
        running_until: Timestamp::from_micros(row.required_number(3)?),
        end,
    })
}

impl Serialize for IntentRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { tenant, id, fingerprint, intent, running_until, expires, at } = self;
        (tenant, id, fingerprint, intent, running_until, expires, at).serialize(serializer)
    }
}

impl Serialize for OutcomeRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { intent, outcome, state, answer } = self;
        (intent, outcome, state, answer).serialize(serializer)
    }
}
