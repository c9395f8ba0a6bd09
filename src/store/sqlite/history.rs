//! Reads and writes key records and scans.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{SqliteConnection, query::Query, sqlite::SqliteArguments};

use super::{
    super::key_rows::{KeyRow, log_group, lookup_rows, merge_rows, observation_row, to_scan},
    Sqlite,
    read::{Reader, failed, garbled},
    write,
};
pub(super) use crate::store::key_rows::rows;
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Location, Resource},
        history::{KeyRecord, Observation, Scan},
    },
    ports::{KeyHistoryReader, KeyHistoryWriter, Unavailable},
};

const UPSERT_SQL: &str = "INSERT INTO append (known) VALUES (?)";

const RECORDS_SQL: &str = "\
SELECT k.account, k.region, k.log_group, k.key_arn, k.previous_key, k.accepted, k.since, k.seen, k.created,
       k.retention, k.gone, f.key_arn, f.since, f.seen, f.until
FROM json_each($1) AS asked
JOIN association AS k ON k.account = asked.value ->> 0 AND k.region = asked.value ->> 1 AND k.log_group = asked.value ->> 2
LEFT JOIN former AS f ON f.account = k.account AND f.region = k.region AND f.log_group = k.log_group";

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
SELECT account, region, first, last, log_groups FROM json_each($1) AS asked
JOIN survey ON account = asked.value ->> 0 AND region = asked.value ->> 1";

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
        self.reader.records(resources).await
    }

    async fn resources_with_key(
        &self,
        key: &KmsKeyArn,
        after: Option<&Resource>,
        limit: u32,
    ) -> Result<Vec<KeyRecord>, Unavailable> {
        self.reader.resources_with_key(key, after, limit).await
    }

    async fn scans(&self, locations: &[Location]) -> Result<Vec<Scan>, Unavailable> {
        self.reader.scans(locations).await
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

// === impl Reader ===

impl Reader {
    async fn records(&self, resources: &[Resource]) -> Result<Vec<KeyRecord>, Unavailable> {
        let resources = serde_json::to_string(&lookup_rows(resources)).map_err(garbled)?;
        let rows = sqlx::query(RECORDS_SQL).bind(resources).fetch_all(&self.pool).await.map_err(failed)?;
        merge_rows(&rows)
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
        let rows = sqlx::query(RESOURCES_SQL)
            .bind(key.as_str())
            .bind(account)
            .bind(region)
            .bind(name)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        merge_rows(&rows)
    }

    async fn scans(&self, locations: &[Location]) -> Result<Vec<Scan>, Unavailable> {
        let locations: Vec<_> =
            locations.iter().map(|location| (location.account.as_str(), location.region.as_str())).collect();
        let locations = serde_json::to_string(&locations).map_err(garbled)?;
        let rows = sqlx::query(SCANS_SQL).bind(locations).fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(to_scan).collect()
    }
}

// === impl Sqlite ===

impl Sqlite {
    /// Runs one write outside the journal on a separate task, so that a cancelled call does not interrupt it
    /// and thereby cost the journal its connection.
    async fn write(&self, query: Query<'static, sqlx::Sqlite, SqliteArguments>) -> Result<(), Unavailable> {
        let writer = Arc::clone(&self.writer);
        let written = tokio::spawn(async move {
            let write =
                async |connection: &mut SqliteConnection| query.execute(connection).await.map_err(failed);
            writer.checkout(|| write::unavailable(None), write).await
        });
        written.await.map_err(garbled)?.map(drop)
    }
}

#[cfg(test)]
mod tests;
