//! Reads the records of requests with an idempotency key.

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
        idempotency::{IdempotencyKey, RequestRecord},
        time::Timestamp,
    },
    ports::{IdempotencyStore, Unavailable},
};

const FIND_SQL: &str = "\
SELECT fingerprint, intent, outcome, running_until, state, answer FROM request
WHERE tenant = $1 AND id = $2 AND expires > $3";

#[async_trait]
impl IdempotencyStore for Sqlite {
    async fn find(&self, id: &IdempotencyKey, now: Timestamp) -> Result<Option<RequestRecord>, Unavailable> {
        self.reader.request(id, now).await
    }
}

// === impl Reader ===

impl Reader {
    async fn request(
        &self,
        id: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<RequestRecord>, Unavailable> {
        let row = sqlx::query(FIND_SQL)
            .bind(id.tenant.as_str())
            .bind(id.to_string())
            .bind(now.as_micros())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        row.as_ref().map(to_record).transpose()
    }
}

fn to_record(row: &SqliteRow) -> Result<RequestRecord, Unavailable> {
    let event = |bytes: &[u8]| Uuid::from_slice(bytes).map(EventId).map_err(garbled);
    let intent = event(row.try_get(1).map_err(failed)?)?;
    let outcome = row.try_get::<Option<&[u8]>, _>(2).map_err(failed)?.map(event).transpose()?;
    requests::to_record(row, intent, outcome)
}
