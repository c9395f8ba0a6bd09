//! Requests that came with an id of their own: begun with their intent, ended with their outcome.

use async_trait::async_trait;
use serde::Serialize;
use sqlx::{Row as _, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    Sqlite,
    read::{Reader, failed, garbled},
    write::hex,
};
use crate::{
    domain::{
        audit::EventId,
        request::{Answer, Fingerprint, KeptRequest, OwnId, REMEMBERED, RequestEnd, RequestStep},
        time::Timestamp,
    },
    ports::{RequestRecords, Unavailable},
};

/// Forgets what is old, and begins requests: for the first time, or once more.
pub(super) const BEGUN: &str = "\
DELETE FROM request WHERE expires <= ?;
INSERT INTO request (tenant, id, fingerprint, intent, running_until, expires, state)
SELECT value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3), value ->> 4, value ->> 5, 'running'
FROM json_each(?) WHERE true
ON CONFLICT (tenant, id) DO UPDATE SET
    fingerprint = excluded.fingerprint, intent = excluded.intent, outcome = NULL,
    running_until = excluded.running_until, expires = excluded.expires, state = 'running', answer = NULL";

/// Says how requests ended, where there are such with these intents.
pub(super) const ENDED: &str = "\
UPDATE request SET outcome = unhex(ended.value ->> 1), state = ended.value ->> 2, answer = ended.value ->> 3
FROM json_each(?) AS ended WHERE intent = unhex(ended.value ->> 0)";

const FIND: &str = "\
SELECT fingerprint, intent, outcome, running_until, state, answer FROM request
WHERE tenant = $1 AND id = $2 AND expires > $3";

/// What a batch says of requests.
pub(super) struct Rows<'a> {
    pub(super) begun: Vec<Begun<'a>>,
    /// What expires by then is forgotten.
    pub(super) forgotten: i64,
    pub(super) ended: Vec<Ended<'a>>,
}

#[derive(Serialize)]
pub(super) struct Begun<'a>(&'a str, String, &'a str, String, i64, i64);

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

#[async_trait]
impl RequestRecords for Sqlite {
    async fn find(&self, id: &OwnId, now: Timestamp) -> Result<Option<KeptRequest>, Unavailable> {
        self.reader.request(id, now).await
    }
}

// === impl Reader ===

impl Reader {
    async fn request(&self, id: &OwnId, now: Timestamp) -> Result<Option<KeptRequest>, Unavailable> {
        let row = sqlx::query(FIND)
            .bind(id.tenant.as_str())
            .bind(id.to_string())
            .bind(now.as_micros())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        row.as_ref().map(kept).transpose()
    }
}

fn kept(row: &SqliteRow) -> Result<KeptRequest, Unavailable> {
    let event = |bytes: &[u8]| Uuid::from_slice(bytes).map(EventId).map_err(garbled);
    let text = |at: usize| row.try_get::<&str, _>(at).map_err(failed);
    let answer = || text(5).map(|text| Answer(text.into()));
    let end = match text(4)? {
        "done" => Some(RequestEnd::Done(answer()?)),
        "refused" => Some(RequestEnd::Refused(answer()?)),
        "unknown" => Some(RequestEnd::Unknown),
        "open" => Some(RequestEnd::Open),
        _running => None,
    };
    Ok(KeptRequest {
        fingerprint: Fingerprint(text(0)?.into()),
        intent: event(row.try_get(1).map_err(failed)?)?,
        outcome: row.try_get::<Option<&[u8]>, _>(2).map_err(failed)?.map(event).transpose()?,
        running_until: Timestamp::from_micros(row.try_get(3).map_err(failed)?),
        end,
    })
}
