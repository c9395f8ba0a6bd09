//! Which key was when on what: written with the changes, and beside them by what reads have seen.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{SqliteConnection, query::Query, sqlite::SqliteArguments};

use super::{
    super::known::{Row, asked, gathered, log_group, sighted, survey},
    Sqlite,
    read::{Reader, failed, garbled},
    write,
};
pub(super) use crate::store::known::rows;
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Place, Resource},
        history::{Known, Sighting, Survey},
    },
    ports::{KeepHistory, KeyHistory, Unavailable},
};

const KNOWN: &str = "INSERT INTO append (known) VALUES (?)";

const KNOWN_OF: &str = "\
SELECT k.account, k.region, k.log_group, k.key_arn, k.previous_key, k.accepted, k.since, k.seen, k.created,
       k.retention, k.gone, f.key_arn, f.since, f.seen, f.until
FROM json_each($1) AS asked
JOIN association AS k ON k.account = asked.value ->> 0 AND k.region = asked.value ->> 1 AND k.log_group = asked.value ->> 2
LEFT JOIN former AS f ON f.account = k.account AND f.region = k.region AND f.log_group = k.log_group";

const TOUCHED: &str = "\
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

const SURVEYS: &str = "\
SELECT account, region, first, last, log_groups FROM json_each($1) AS asked
JOIN survey ON account = asked.value ->> 0 AND region = asked.value ->> 1";

const SURVEYED: &str = "\
BEGIN IMMEDIATE;
INSERT INTO survey (account, region, first, last, log_groups) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account, region) DO UPDATE SET last = excluded.last, log_groups = excluded.log_groups
WHERE excluded.last >= survey.last;
UPDATE association SET gone = $4
WHERE account = $1 AND region = $2 AND log_group <> '' AND seen < $4 AND gone IS NULL;
COMMIT";

#[async_trait]
impl KeyHistory for Sqlite {
    async fn known(&self, resources: &[Resource]) -> Result<Vec<Known>, Unavailable> {
        self.reader.known(resources).await
    }

    async fn touched(
        &self,
        key: &KmsKeyArn,
        after: Option<&Resource>,
        limit: u32,
    ) -> Result<Vec<Known>, Unavailable> {
        self.reader.touched(key, after, limit).await
    }

    async fn surveys(&self, places: &[Place]) -> Result<Vec<Survey>, Unavailable> {
        self.reader.surveys(places).await
    }
}

#[async_trait]
impl KeepHistory for Sqlite {
    async fn keep(&self, seen: &[Sighting]) -> Result<(), Unavailable> {
        let rows: Vec<Row<'_>> = seen.iter().map(sighted).collect();
        let rows = serde_json::to_string(&rows).map_err(garbled)?;
        self.write(sqlx::query(KNOWN).bind(rows)).await
    }

    async fn surveyed(&self, survey: &Survey) -> Result<(), Unavailable> {
        let Survey { place, first, last, log_groups } = survey;
        let log_groups = i64::try_from(*log_groups).map_err(garbled)?;
        let survey = sqlx::query(SURVEYED)
            .bind(place.account.as_str().to_owned())
            .bind(place.region.as_str().to_owned())
            .bind(first.as_micros())
            .bind(last.as_micros())
            .bind(log_groups);
        self.write(survey).await
    }
}

// === impl Reader ===

impl Reader {
    async fn known(&self, resources: &[Resource]) -> Result<Vec<Known>, Unavailable> {
        let asked = serde_json::to_string(&asked(resources)).map_err(garbled)?;
        let rows = sqlx::query(KNOWN_OF).bind(asked).fetch_all(&self.pool).await.map_err(failed)?;
        gathered(&rows)
    }

    async fn touched(
        &self,
        key: &KmsKeyArn,
        after: Option<&Resource>,
        limit: u32,
    ) -> Result<Vec<Known>, Unavailable> {
        let (account, region, name) = after.map_or(("", "", ""), |Resource { place, target }| {
            (place.account.as_str(), place.region.as_str(), log_group(target))
        });
        let rows = sqlx::query(TOUCHED)
            .bind(key.as_str())
            .bind(account)
            .bind(region)
            .bind(name)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        gathered(&rows)
    }

    async fn surveys(&self, places: &[Place]) -> Result<Vec<Survey>, Unavailable> {
        let asked: Vec<_> =
            places.iter().map(|place| (place.account.as_str(), place.region.as_str())).collect();
        let asked = serde_json::to_string(&asked).map_err(garbled)?;
        let rows = sqlx::query(SURVEYS).bind(asked).fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(survey).collect()
    }
}

// === impl Sqlite ===

impl Sqlite {
    /// One write beside the log, on a task of its own: a call that nobody waits for any more does not cost
    /// the log its connection.
    async fn write(&self, query: Query<'static, sqlx::Sqlite, SqliteArguments>) -> Result<(), Unavailable> {
        let writer = Arc::clone(&self.writer);
        let written = tokio::spawn(async move {
            let write = async |open: &mut SqliteConnection| query.execute(open).await.map_err(failed);
            writer.lend(|| write::unavailable(None), write).await
        });
        written.await.map_err(garbled)?.map(drop)
    }
}

#[cfg(test)]
mod tests;
