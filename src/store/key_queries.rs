//! Reads key records and scans. The databases differ only in how they split a list of resources into rows.

use super::{
    columns::{Columns as _, corrupt_row},
    database::{Database, Param},
    key_rows::{ResourceKey, merge_rows, to_scan},
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Location, Resource},
        history::{KeyRecord, Scan},
        time::Timestamp,
    },
    ports::Unavailable,
};

/// The columns of a record, with those of one of its former keys.
macro_rules! key_columns {
    () => {
        "k.account, k.region, k.log_group, k.key_arn, k.previous_key, k.accepted, k.since, k.seen, k.created,
       k.retention, k.gone, f.key_arn, f.since, f.seen, f.until"
    };
}

/// Selects the records of resources. `$wanted` has a row for each resource, with a JSON array as its `value`.
macro_rules! records_sql {
    ($wanted:literal) => {
        concat!(
            "SELECT ",
            $crate::store::key_queries::key_columns!(),
            " FROM ",
            $wanted,
            " JOIN association AS k ON k.account = wanted.value ->> 0 AND k.region = wanted.value ->> 1
  AND k.log_group = wanted.value ->> 2
LEFT JOIN former AS f ON f.account = k.account AND f.region = k.region AND f.log_group = k.log_group"
        )
    };
}

/// Selects the scans of locations. `$wanted` has a row for each location, with a JSON array as its `value`.
macro_rules! scans_sql {
    ($wanted:literal) => {
        concat!(
            "SELECT account, region, first, last, log_groups FROM ",
            $wanted,
            " JOIN survey ON account = wanted.value ->> 0 AND region = wanted.value ->> 1"
        )
    };
}
pub(super) use {key_columns, records_sql, scans_sql};

pub(super) const RESOURCES_SQL: &str = concat!(
    "SELECT ",
    key_columns!(),
    "
FROM (SELECT account, region, log_group FROM association WHERE key_arn = $1
      UNION SELECT account, region, log_group FROM former WHERE key_arn = $1) AS touched
JOIN association AS k
  ON k.account = touched.account AND k.region = touched.region AND k.log_group = touched.log_group
LEFT JOIN former AS f
  ON f.account = k.account AND f.region = k.region AND f.log_group = k.log_group AND f.key_arn = $1
WHERE (k.account, k.region, k.log_group) > ($2, $3, $4)
ORDER BY k.account, k.region, k.log_group LIMIT $5"
);

const NEWEST_SQL: &str = "SELECT max(seen) FROM association WHERE account = $1 AND region = $2";

/// The records of these resources, by the statement [`records_sql`].
pub(super) async fn records<D: Database>(
    database: &D,
    sql: &'static str,
    resources: &[Resource],
) -> Result<Vec<KeyRecord>, Unavailable> {
    let wanted: Vec<ResourceKey<'_>> = resources.iter().map(ResourceKey::of).collect();
    let wanted = serde_json::to_string(&wanted).map_err(corrupt_row::<D::Row>)?;
    merge_rows(&database.rows(sql, &[(&*wanted).into()]).await?)
}

/// The records of at most `limit` resources after `after` that have or had this key.
pub(super) async fn resources_with_key(
    database: &impl Database,
    key: &KmsKeyArn,
    after: Option<&Resource>,
    limit: u32,
) -> Result<Vec<KeyRecord>, Unavailable> {
    let ResourceKey { account, region, log_group } = after.map(ResourceKey::of).unwrap_or_default();
    let params: [Param<'_>; 5] =
        [key.as_str().into(), account.into(), region.into(), log_group.into(), i64::from(limit).into()];
    merge_rows(&database.rows(RESOURCES_SQL, &params).await?)
}

/// The time of the newest fact about a resource of this location.
pub(super) async fn newest(
    database: &impl Database,
    location: &Location,
) -> Result<Option<Timestamp>, Unavailable> {
    let params: [Param<'_>; 2] = [location.account.as_str().into(), location.region.as_str().into()];
    let rows = database.rows(NEWEST_SQL, &params).await?;
    let newest = rows.first().map(|row| row.number(0)).transpose()?.flatten();
    Ok(newest.map(Timestamp::from_micros))
}

/// The scans of these locations, by the statement [`scans_sql`].
pub(super) async fn scans<D: Database>(
    database: &D,
    sql: &'static str,
    locations: &[Location],
) -> Result<Vec<Scan>, Unavailable> {
    let wanted = locations.iter().map(|location| (location.account.as_str(), location.region.as_str()));
    let wanted = serde_json::to_string(&wanted.collect::<Vec<_>>()).map_err(corrupt_row::<D::Row>)?;
    database.rows(sql, &[(&*wanted).into()]).await?.iter().map(to_scan).collect()
}
