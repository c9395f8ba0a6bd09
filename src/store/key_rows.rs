//! Converts key records to and from rows. It writes rows as JSON, which the database splits into columns.

use std::time::Duration;

use serde::Serialize;

use super::columns::{Columns, corrupt_row};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Location, RecordedAssociation, Resource, Target},
        history::{KeyRecord, Observation, PastKey, Retention, Scan},
        time::Timestamp,
    },
    ports::{Batch, Unavailable},
};

/// One row of a key record, in the form of a JSON array for the database.
#[derive(Serialize)]
pub(super) struct KeyRow<'a>(
    &'a str,
    &'a str,
    &'a str,
    Option<&'a str>,
    Option<&'a str>,
    Option<i64>,
    i64,
    Option<i64>,
    Option<u64>,
);

/// The rows of a batch's observations and associations, the oldest first.
pub(super) fn rows(batch: &Batch) -> Vec<KeyRow<'_>> {
    let mut rows: Vec<KeyRow<'_>> = batch
        .observations
        .iter()
        .map(observation_row)
        .chain(batch.associations.iter().map(association_row))
        .collect();
    rows.sort_by_key(|row| row.6);
    rows
}

pub(super) fn observation_row(observation: &Observation) -> KeyRow<'_> {
    let Observation { resource: Resource { location, target }, key, observed_at, created, retention } =
        observation;
    KeyRow(
        location.account.as_str(),
        location.region.as_str(),
        log_group(target),
        key.as_ref().map(KmsKeyArn::as_str),
        None,
        None,
        observed_at.as_micros(),
        created.map(Timestamp::as_micros),
        match retention {
            Retention::NotKnown => None,
            Retention::Forever => Some(0),
            Retention::For(length) => Some(length.as_secs()),
        },
    )
}

fn association_row(record: &RecordedAssociation) -> KeyRow<'_> {
    let RecordedAssociation { resource: Resource { location, target }, key, previous_key, accepted } = record;
    KeyRow(
        location.account.as_str(),
        location.region.as_str(),
        log_group(target),
        key.as_ref().map(KmsKeyArn::as_str),
        previous_key.as_ref().map(KmsKeyArn::as_str),
        Some(accepted.as_micros()),
        accepted.as_micros(),
        None,
        None,
    )
}

/// The name of a target in the tables. Query results have the empty name, which no log group has.
pub(super) fn log_group(target: &Target) -> &str {
    match target {
        Target::LogGroup(name) => name.as_str(),
        Target::QueryResults => "",
    }
}

/// The keys of the rows of these resources: account, Region and name.
pub(super) fn lookup_rows(resources: &[Resource]) -> Vec<(&str, &str, &str)> {
    let all = resources.iter();
    all.map(|Resource { location, target }| {
        (location.account.as_str(), location.region.as_str(), log_group(target))
    })
    .collect()
}

/// Combines rows into records. The rows of one resource are adjacent, one for each of its former keys.
pub(super) fn merge_rows<R: Columns>(rows: &[R]) -> Result<Vec<KeyRecord>, Unavailable> {
    let mut all: Vec<KeyRecord> = Vec::new();
    for row in rows {
        let resource = resource(row)?;
        if all.last().is_none_or(|record| record.resource != resource) {
            all.push(to_record(row, resource)?);
        }
        if let (Some(record), Some(former)) = (all.last_mut(), former(row)?) {
            record.former.push(former);
        }
    }
    Ok(all)
}

fn location<R: Columns>(row: &R) -> Result<Location, Unavailable> {
    let account = row.required_text(0)?.parse().map_err(corrupt_row::<R>)?;
    Ok(Location { account, region: row.required_text(1)?.parse().map_err(corrupt_row::<R>)? })
}

fn resource<R: Columns>(row: &R) -> Result<Resource, Unavailable> {
    let target = match row.required_text(2)? {
        "" => Target::QueryResults,
        name => Target::LogGroup(name.parse().map_err(corrupt_row::<R>)?),
    };
    Ok(Resource { location: location(row)?, target })
}

fn to_record<R: Columns>(row: &R, resource: Resource) -> Result<KeyRecord, Unavailable> {
    let retention = match row.number(9)?.map(u64::try_from).transpose().map_err(corrupt_row::<R>)? {
        None => Retention::NotKnown,
        Some(0) => Retention::Forever,
        Some(secs) => Retention::For(Duration::from_secs(secs)),
    };
    Ok(KeyRecord {
        resource,
        key: key(row, 3)?,
        previous_key: key(row, 4)?,
        accepted: time(row, 5)?,
        since: Timestamp::from_micros(row.required_number(6)?),
        observed_at: Timestamp::from_micros(row.required_number(7)?),
        created: time(row, 8)?,
        retention,
        deleted_at: time(row, 10)?,
        former: Vec::new(),
    })
}

fn former<R: Columns>(row: &R) -> Result<Option<PastKey>, Unavailable> {
    let Some(key) = key(row, 11)? else { return Ok(None) };
    let at = |at: usize| row.required_number(at).map(Timestamp::from_micros);
    Ok(Some(PastKey { key, since: at(12)?, observed_at: at(13)?, until: at(14)? }))
}

fn key<R: Columns>(row: &R, at: usize) -> Result<Option<KmsKeyArn>, Unavailable> {
    row.text(at)?.map(str::parse).transpose().map_err(corrupt_row::<R>)
}

fn time<R: Columns>(row: &R, at: usize) -> Result<Option<Timestamp>, Unavailable> {
    Ok(row.number(at)?.map(Timestamp::from_micros))
}

/// Reads a scan from a row with its columns in order.
pub(super) fn to_scan<R: Columns>(row: &R) -> Result<Scan, Unavailable> {
    let at = |at: usize| row.required_number(at).map(Timestamp::from_micros);
    let log_groups = u64::try_from(row.required_number(4)?).map_err(corrupt_row::<R>)?;
    Ok(Scan { location: location(row)?, first: at(2)?, last: at(3)?, log_groups })
}

// === impl KeyRow ===

impl<'a> KeyRow<'a> {
    /// The account, Region and name of the resource.
    pub(super) fn resource(&self) -> (&'a str, &'a str, &'a str) {
        (self.0, self.1, self.2)
    }
}
