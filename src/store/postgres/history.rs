//! Which key was when on what, and requests that came with an id of their own.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    super::{
        columns::Columns as _,
        known::{Row, asked, gathered, log_group, sighted, survey},
        requests,
    },
    Postgres,
    read::{Reader, event_id, signed},
    write::unavailable,
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Place, Resource},
        history::{Known, Sighting, Survey},
        request::{KeptRequest, OwnId},
        time::Timestamp,
    },
    ports::{HeldRequest, KeepHistory, KeyHistory, RequestRecords, Unavailable},
};

/// How long a change waits for what only helps it: the time is needed for its record.
const HELPS_WITHIN: Duration = Duration::from_millis(500);

const KNOWN_OF: &str = "\
SELECT k.account, k.region, k.log_group, k.key_arn, k.previous_key, k.accepted, k.since, k.seen, k.created,
       k.retention, k.gone, f.key_arn, f.since, f.seen, f.until
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (account, region, log_group)
JOIN association AS k USING (account, region, log_group)
LEFT JOIN former AS f ON f.account = k.account AND f.region = k.region AND f.log_group = k.log_group
ORDER BY k.account, k.region, k.log_group";

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
SELECT s.account, s.region, s.first, s.last, s.log_groups
FROM unnest($1::text[], $2::text[]) AS asked (account, region) JOIN survey AS s USING (account, region)";

const FIND: &str = "\
SELECT fingerprint, intent::text, outcome::text, running_until, state, answer FROM request
WHERE tenant = $1 AND id = $2 AND expires > $3";

#[async_trait]
impl KeyHistory for Postgres {
    async fn known(&self, resources: &[Resource]) -> Result<Vec<Known>, Unavailable> {
        let asked = asked(resources);
        let column = |of: fn(&(&str, &str, &str)) -> String| asked.iter().map(of).collect::<Vec<_>>();
        let query = sqlx::query(KNOWN_OF)
            .bind(column(|(account, _, _)| (*account).to_owned()))
            .bind(column(|(_, region, _)| (*region).to_owned()))
            .bind(column(|(_, _, name)| (*name).to_owned()));
        gathered(&self.reader.rows_within(HELPS_WITHIN, query).await?)
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
        let query = sqlx::query(TOUCHED).bind(key.as_str()).bind(account).bind(region).bind(name);
        gathered(&self.reader.rows(query.bind(i64::from(limit))).await?)
    }

    async fn surveys(&self, places: &[Place]) -> Result<Vec<Survey>, Unavailable> {
        let query = sqlx::query(SURVEYS)
            .bind(places.iter().map(|place| place.account.as_str()).collect::<Vec<_>>())
            .bind(places.iter().map(|place| place.region.as_str()).collect::<Vec<_>>());
        self.reader.rows(query).await?.iter().map(survey).collect()
    }
}

#[async_trait]
impl KeepHistory for Postgres {
    async fn keep(&self, seen: &[Sighting]) -> Result<(), Unavailable> {
        let mut rows: Vec<Row<'_>> = seen.iter().map(sighted).collect();
        rows.sort_by_key(Row::resource);
        let rows = serde_json::to_string(&rows).map_err(unavailable)?;
        self.reader.rows(sqlx::query("SELECT keep_known($1::jsonb)").bind(rows)).await.map(drop)
    }

    async fn surveyed(&self, survey: &Survey) -> Result<(), Unavailable> {
        let Survey { place, first, last, log_groups } = survey;
        let query = sqlx::query("SELECT surveyed($1, $2, $3, $4, $5)")
            .bind(place.account.as_str())
            .bind(place.region.as_str())
            .bind(first.as_micros())
            .bind(last.as_micros())
            .bind(signed(*log_groups));
        self.reader.rows(query).await.map(drop)
    }
}

#[async_trait]
impl RequestRecords for Postgres {
    async fn hold(&self, id: &OwnId) -> Result<Option<HeldRequest>, Unavailable> {
        self.claims.hold(id).await
    }

    async fn find(&self, id: &OwnId, now: Timestamp) -> Result<Option<KeptRequest>, Unavailable> {
        self.reader.request(id, now).await
    }
}

// === impl Reader ===

impl Reader {
    async fn request(&self, id: &OwnId, now: Timestamp) -> Result<Option<KeptRequest>, Unavailable> {
        let query = sqlx::query(FIND).bind(id.tenant.as_str()).bind(id.to_string()).bind(now.as_micros());
        let rows = self.rows(query).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let outcome = row.text(2)?.map(event_id).transpose()?;
        requests::kept(row, event_id(row.some_text(1)?)?, outcome).map(Some)
    }
}
