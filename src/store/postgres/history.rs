//! Reads and writes key records, scans and the records of requests.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    super::{
        columns::Columns as _,
        key_rows::{KeyRow, log_group, lookup_rows, merge_rows, observation_row, to_scan},
        requests,
    },
    Postgres,
    read::{Reader, event_id, signed},
    write::unavailable,
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Location, Resource},
        history::{KeyRecord, Observation, Scan},
        idempotency::{IdempotencyKey, RequestRecord},
        time::Timestamp,
    },
    ports::{IdempotencyStore, KeyHistoryReader, KeyHistoryWriter, RequestLock, Unavailable},
};

/// The maximum wait for the records of the prior state. A change does not depend on them, and needs its time
/// for the journal.
const STATEMENT_TIMEOUT: Duration = Duration::from_millis(500);

const RECORDS_SQL: &str = "\
SELECT k.account, k.region, k.log_group, k.key_arn, k.previous_key, k.accepted, k.since, k.seen, k.created,
       k.retention, k.gone, f.key_arn, f.since, f.seen, f.until
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (account, region, log_group)
JOIN association AS k USING (account, region, log_group)
LEFT JOIN former AS f ON f.account = k.account AND f.region = k.region AND f.log_group = k.log_group
ORDER BY k.account, k.region, k.log_group";

const RESOURCES_SQL: &str = "\
SELECT k.account, k.region, k.log_group, k.key_arn, k.previous_key, k.accepted, k.since, k.seen, k.created,
       k.retention, k.gone, f.key_arn, f.since, f.seen, f.until
FROM (SELECT account, region, log_group FROM association WHERE key_arn = $1
      UNION SELECT account, region, log_group FROM former WHERE key_arn = $1) AS touched
JOIN association AS k
  ON k.account = touched.account AND k.region = touched.region AND k.log_group = touched.log_group
LEFT JOIN former AS f
  ON f.account = k.account AND f.region = k.region AND f.log_group = k.log_group AND f.key_arn = $1
WHERE (k.account, k.region, k.log_group) > ($2, $3, $4)
ORDER BY k.account, k.region, k.log_group LIMIT $5";

const SCANS_SQL: &str = "\
SELECT s.account, s.region, s.first, s.last, s.log_groups
FROM unnest($1::text[], $2::text[]) AS asked (account, region) JOIN survey AS s USING (account, region)";

const FIND_SQL: &str = "\
SELECT fingerprint, intent::text, outcome::text, running_until, state, answer FROM request
WHERE tenant = $1 AND id = $2 AND expires > $3";

#[async_trait]
impl KeyHistoryReader for Postgres {
    async fn records(&self, resources: &[Resource]) -> Result<Vec<KeyRecord>, Unavailable> {
        let rows = lookup_rows(resources);
        let column = |of: fn(&(&str, &str, &str)) -> String| rows.iter().map(of).collect::<Vec<_>>();
        let query = sqlx::query(RECORDS_SQL)
            .bind(column(|(account, _, _)| (*account).to_owned()))
            .bind(column(|(_, region, _)| (*region).to_owned()))
            .bind(column(|(_, _, name)| (*name).to_owned()));
        merge_rows(&self.reader.rows_within(STATEMENT_TIMEOUT, query).await?)
    }

    async fn resources_with_key(
        &self,
        key: &KmsKeyArn,
        after: Option<&Resource>,
        limit: u32,
    ) -> Result<Vec<KeyRecord>, Unavailable> {
        let (account, region, name) = after.map_or(("", "", ""), |Resource { location, target }| {
            (location.account.as_str(), location.region.as_str(), log_group(target))
        });
        let query = sqlx::query(RESOURCES_SQL).bind(key.as_str()).bind(account).bind(region).bind(name);
        merge_rows(&self.reader.rows(query.bind(i64::from(limit))).await?)
    }

    async fn scans(&self, locations: &[Location]) -> Result<Vec<Scan>, Unavailable> {
        let query = sqlx::query(SCANS_SQL)
            .bind(locations.iter().map(|location| location.account.as_str()).collect::<Vec<_>>())
            .bind(locations.iter().map(|location| location.region.as_str()).collect::<Vec<_>>());
        self.reader.rows(query).await?.iter().map(to_scan).collect()
    }
}

#[async_trait]
impl KeyHistoryWriter for Postgres {
    async fn upsert(&self, observations: &[Observation]) -> Result<(), Unavailable> {
        let mut rows: Vec<KeyRow<'_>> = observations.iter().map(observation_row).collect();
        rows.sort_by_key(KeyRow::resource);
        let rows = serde_json::to_string(&rows).map_err(unavailable)?;
        self.reader.rows(sqlx::query("SELECT keep_known($1::jsonb)").bind(rows)).await.map(drop)
    }

    async fn record_scan(&self, scan: &Scan) -> Result<(), Unavailable> {
        let Scan { location, first, last, log_groups } = scan;
        let query = sqlx::query("SELECT surveyed($1, $2, $3, $4, $5)")
            .bind(location.account.as_str())
            .bind(location.region.as_str())
            .bind(first.as_micros())
            .bind(last.as_micros())
            .bind(signed(*log_groups));
        self.reader.rows(query).await.map(drop)
    }
}

#[async_trait]
impl IdempotencyStore for Postgres {
    async fn lock(&self, id: &IdempotencyKey) -> Result<Option<RequestLock>, Unavailable> {
        self.locks.acquire(id).await
    }

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
        let query = sqlx::query(FIND_SQL).bind(id.tenant.as_str()).bind(id.to_string()).bind(now.as_micros());
        let rows = self.rows(query).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let outcome = row.text(2)?.map(event_id).transpose()?;
        requests::to_record(row, event_id(row.required_text(1)?)?, outcome).map(Some)
    }
}
