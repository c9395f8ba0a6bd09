//! Converts key records to and from rows. It writes rows as JSON, which the database splits into columns.

use std::time::Duration;

use serde::{Serialize, Serializer};

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

/// Where the record of a resource is: its key in the tables, as a JSON array for the database. Query results
/// have an empty name, which no log group has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ResourceKey<'a> {
    pub(super) account: &'a str,
    pub(super) region: &'a str,
    pub(super) log_group: &'a str,
}

/// One row of a key record, as a JSON array for the database.
pub(super) struct KeyRow<'a> {
    pub(super) resource: ResourceKey<'a>,
    key: Option<&'a str>,
    previous_key: Option<&'a str>,
    accepted: Option<i64>,
    observed_at: i64,
    created: Option<i64>,
    /// In seconds; 0 is forever.
    retention: Option<u64>,
}

/// The rows of a batch's observations and associations, the oldest first.
pub(super) fn rows(batch: &Batch) -> Vec<KeyRow<'_>> {
    let mut rows: Vec<KeyRow<'_>> = batch
        .observations
        .iter()
        .map(observation_row)
        .chain(batch.associations.iter().map(association_row))
        .collect();
    rows.sort_by_key(|row| row.observed_at);
    rows
}

pub(super) fn observation_row(observation: &Observation) -> KeyRow<'_> {
    let Observation { resource, key, observed_at, created, retention } = observation;
    KeyRow {
        resource: ResourceKey::of(resource),
        key: key.as_ref().map(KmsKeyArn::as_str),
        previous_key: None,
        accepted: None,
        observed_at: observed_at.as_micros(),
        created: created.map(Timestamp::as_micros),
        retention: match retention {
            Retention::NotKnown => None,
            Retention::Forever => Some(0),
            Retention::For(length) => Some(length.as_secs()),
        },
    }
}

fn association_row(record: &RecordedAssociation) -> KeyRow<'_> {
    let RecordedAssociation { resource, key, previous_key, accepted } = record;
    KeyRow {
        resource: ResourceKey::of(resource),
        key: key.as_ref().map(KmsKeyArn::as_str),
        previous_key: previous_key.as_ref().map(KmsKeyArn::as_str),
        accepted: Some(accepted.as_micros()),
        observed_at: accepted.as_micros(),
        created: None,
        retention: None,
    }
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

// === impl ResourceKey ===

impl<'a> ResourceKey<'a> {
    pub(super) fn of(Resource { location, target }: &'a Resource) -> Self {
        let log_group = match target {
            Target::LogGroup(name) => name.as_str(),
            Target::QueryResults => "",
        };
        Self { account: location.account.as_str(), region: location.region.as_str(), log_group }
    }
}

impl Serialize for ResourceKey<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.account, self.region, self.log_group].serialize(serializer)
    }
}

// === impl KeyRow ===

impl Serialize for KeyRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { resource, key, previous_key, accepted, observed_at, created, retention } = self;
        let ResourceKey { account, region, log_group } = resource;
        (account, region, log_group, key, previous_key, accepted, observed_at, created, retention)
            .serialize(serializer)
    }
}
