//! Requests that came with an id of their own: begun with their intent, ended with their outcome.

use async_trait::async_trait;
use sqlx::{Row as _, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    super::requests,
    Sqlite,
    read::{Reader, failed, garbled},
};
pub(super) use crate::store::requests::rows;
use crate::{
    domain::{
        audit::EventId,
        request::{KeptRequest, OwnId},
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
    let intent = event(row.try_get(1).map_err(failed)?)?;
    let outcome = row.try_get::<Option<&[u8]>, _>(2).map_err(failed)?.map(event).transpose()?;
    requests::kept(row, intent, outcome)
}
