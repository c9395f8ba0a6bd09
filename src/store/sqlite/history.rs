//! Reads and writes key records, scans and the records of requests.

use async_trait::async_trait;

use super::{database::Sqlite, error::garbled};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Location, Resource},
        history::{KeyRecord, Observation, Scan},
        idempotency::{IdempotencyKey, RequestRecord},
        time::Timestamp,
    },
    ports::{IdempotencyStore, KeyHistoryReader, KeyHistoryWriter, Unavailable},
    store::{
        key_queries::{self, records_sql, scans_sql},
        key_rows::{KeyRow, observation_row},
        requests::{self, find_sql},
    },
};

const UPSERT_SQL: &str = "INSERT INTO append (known) VALUES (?)";
const RECORDS_SQL: &str = records_sql!("json_each($1) AS wanted");
const SCANS_SQL: &str = scans_sql!("json_each($1) AS wanted");
const FIND_SQL: &str = find_sql!("intent", "outcome");

const RECORD_SCAN_SQL: &str = "\
BEGIN IMMEDIATE;
INSERT INTO survey (account, region, first, last, log_groups) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account, region) DO UPDATE SET last = excluded.last, log_groups = excluded.log_groups
WHERE excluded.last >= survey.last;
UPDATE association SET gone = $4
WHERE account = $1 AND region = $2 AND log_group <> '' AND seen < $4 AND gone IS NULL;
COMMIT";

#[async_trait]
impl KeyHistoryReader for Sqlite {
    async fn records(&self, resources: &[Resource]) -> Result<Vec<KeyRecord>, Unavailable> {
        key_queries::records(&self.reader, RECORDS_SQL, resources).await
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
impl KeyHistoryWriter for Sqlite {
    async fn upsert(&self, observations: &[Observation]) -> Result<(), Unavailable> {
        let rows: Vec<KeyRow<'_>> = observations.iter().map(observation_row).collect();
        let rows = serde_json::to_string(&rows).map_err(garbled)?;
        self.write(sqlx::query(UPSERT_SQL).bind(rows)).await
    }

    async fn record_scan(&self, scan: &Scan) -> Result<(), Unavailable> {
        let Scan { location, first, last, log_groups } = scan;
        let log_groups = i64::try_from(*log_groups).map_err(garbled)?;
        let scan = sqlx::query(RECORD_SCAN_SQL)
            .bind(location.account.as_str().to_owned())
            .bind(location.region.as_str().to_owned())
            .bind(first.as_micros())
            .bind(last.as_micros())
            .bind(log_groups);
        self.write(scan).await
    }
}

#[async_trait]
impl IdempotencyStore for Sqlite {
    async fn find(&self, id: &IdempotencyKey, now: Timestamp) -> Result<Option<RequestRecord>, Unavailable> {
        requests::find(&self.reader, FIND_SQL, id, now).await
    }
}

#[cfg(test)]
mod tests;
