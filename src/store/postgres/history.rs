//! Reads and writes key records, scans and the records of requests.

use std::time::Duration;

use async_trait::async_trait;

use super::{database::Postgres, error::unavailable};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Location, Resource},
        history::{KeyRecord, Observation, Scan},
        idempotency::{IdempotencyKey, RequestRecord},
        time::Timestamp,
    },
    ports::{IdempotencyStore, KeyHistoryReader, KeyHistoryWriter, RequestLock, Unavailable},
    store::{
        columns::to_i64,
        database::Database as _,
        key_queries::{self, records_sql, scans_sql},
        key_rows::{KeyRow, observation_row},
        requests::{self, find_sql},
    },
};

/// The maximum wait for the records of the prior state. A change does not depend on them, and needs its time
/// for the journal.
const STATEMENT_TIMEOUT: Duration = Duration::from_millis(500);

const RECORDS_SQL: &str = concat!(
    records_sql!("jsonb_array_elements($1::jsonb) AS wanted (value)"),
    " ORDER BY k.account, k.region, k.log_group"
);
const SCANS_SQL: &str = scans_sql!("jsonb_array_elements($1::jsonb) AS wanted (value)");
const FIND_SQL: &str = find_sql!("intent::text", "outcome::text");

#[async_trait]
impl KeyHistoryReader for Postgres {
    async fn records(&self, resources: &[Resource]) -> Result<Vec<KeyRecord>, Unavailable> {
        let reader = self.reader.with_timeout(STATEMENT_TIMEOUT);
        key_queries::records(&reader, RECORDS_SQL, resources).await
    }

    async fn resources_with_key(
        &self,
        key: &KmsKeyArn,
        after: Option<&Resource>,
        limit: u32,
    ) -> Result<Vec<KeyRecord>, Unavailable> {
        key_queries::resources_with_key(&self.reader, key, after, limit).await
    }

    async fn newest(&self, location: &Location) -> Result<Option<Timestamp>, Unavailable> {
        key_queries::newest(&self.reader, location).await
    }

    async fn scans(&self, locations: &[Location]) -> Result<Vec<Scan>, Unavailable> {
        key_queries::scans(&self.reader, SCANS_SQL, locations).await
    }
}

#[async_trait]
impl KeyHistoryWriter for Postgres {
    async fn upsert(&self, observations: &[Observation]) -> Result<(), Unavailable> {
        let mut rows: Vec<KeyRow<'_>> = observations.iter().map(observation_row).collect();
        rows.sort_by_key(|row| row.resource);
        let rows = serde_json::to_string(&rows).map_err(unavailable)?;
        self.reader.rows("SELECT keep_known($1::jsonb)", &[(&*rows).into()]).await.map(drop)
    }

    async fn record_scan(&self, scan: &Scan) -> Result<(), Unavailable> {
        let Scan { location, first, last, log_groups } = scan;
        let params = [
            location.account.as_str().into(),
            location.region.as_str().into(),
            first.as_micros().into(),
            last.as_micros().into(),
            to_i64(*log_groups).into(),
        ];
        self.reader.rows("SELECT surveyed($1, $2, $3, $4, $5)", &params).await.map(drop)
    }
}

#[async_trait]
impl IdempotencyStore for Postgres {
    async fn lock(&self, id: &IdempotencyKey) -> Result<Option<RequestLock>, Unavailable> {
        self.locks.acquire(format!("{}/{id}", id.tenant.as_str())).await
    }

    async fn find(&self, id: &IdempotencyKey, now: Timestamp) -> Result<Option<RequestRecord>, Unavailable> {
        requests::find(&self.reader, FIND_SQL, id, now).await
    }
}
