//! Which key was when on what, as rows: written as JSON that the database takes apart, and read back.

use std::time::Duration;

use serde::Serialize;

use super::columns::{Columns, garbled};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Place, RecordedAssociation, Resource, Target},
        history::{Former, Known, Retention, Sighting, Survey},
        time::Timestamp,
    },
    ports::{Batch, Unavailable},
};

/// One row of what is known, as JSON hands it to the database.
#[derive(Serialize)]
pub(super) struct Row<'a>(
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

/// Everything that a batch says of keys, oldest first.
pub(super) fn rows(batch: &Batch) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> =
        batch.sightings.iter().map(sighted).chain(batch.associations.iter().map(recorded)).collect();
    rows.sort_by_key(|row| row.6);
    rows
}

pub(super) fn sighted(sighting: &Sighting) -> Row<'_> {
    let Sighting { resource: Resource { place, target }, key, seen, created, retention } = sighting;
    Row(
        place.account.as_str(),
        place.region.as_str(),
        log_group(target),
        key.as_ref().map(KmsKeyArn::as_str),
        None,
        None,
        seen.as_micros(),
        created.map(Timestamp::as_micros),
        match retention {
            Retention::NotKnown => None,
            Retention::Forever => Some(0),
            Retention::For(length) => Some(length.as_secs()),
        },
    )
}

fn recorded(record: &RecordedAssociation) -> Row<'_> {
    let RecordedAssociation { resource: Resource { place, target }, key, previous_key, accepted } = record;
    Row(
        place.account.as_str(),
        place.region.as_str(),
        log_group(target),
        key.as_ref().map(KmsKeyArn::as_str),
        previous_key.as_ref().map(KmsKeyArn::as_str),
        Some(accepted.as_micros()),
        accepted.as_micros(),
        None,
        None,
    )
}

/// How a target stands in a table: query results have the empty name, which no log group has.
pub(super) fn log_group(target: &Target) -> &str {
    match target {
        Target::LogGroup(name) => name.as_str(),
        Target::QueryResults => "",
    }
}

/// Resources, as JSON hands them to the database.
pub(super) fn asked(resources: &[Resource]) -> Vec<(&str, &str, &str)> {
    let all = resources.iter();
    all.map(|Resource { place, target }| (place.account.as_str(), place.region.as_str(), log_group(target)))
        .collect()
}

/// The rows of one resource stand together, one for each of its former keys.
pub(super) fn gathered<R: Columns>(rows: &[R]) -> Result<Vec<Known>, Unavailable> {
    let mut all: Vec<Known> = Vec::new();
    for row in rows {
        let resource = resource(row)?;
        if all.last().is_none_or(|known| known.resource != resource) {
            all.push(known(row, resource)?);
        }
        if let (Some(known), Some(former)) = (all.last_mut(), former(row)?) {
            known.former.push(former);
        }
    }
    Ok(all)
}

fn place<R: Columns>(row: &R) -> Result<Place, Unavailable> {
    let account = row.some_text(0)?.parse().map_err(garbled::<R>)?;
    Ok(Place { account, region: row.some_text(1)?.parse().map_err(garbled::<R>)? })
}

fn resource<R: Columns>(row: &R) -> Result<Resource, Unavailable> {
    let target = match row.some_text(2)? {
        "" => Target::QueryResults,
        name => Target::LogGroup(name.parse().map_err(garbled::<R>)?),
    };
    Ok(Resource { place: place(row)?, target })
}

fn known<R: Columns>(row: &R, resource: Resource) -> Result<Known, Unavailable> {
    let retention = match row.number(9)?.map(u64::try_from).transpose().map_err(garbled::<R>)? {
        None => Retention::NotKnown,
        Some(0) => Retention::Forever,
        Some(secs) => Retention::For(Duration::from_secs(secs)),
    };
    Ok(Known {
        resource,
        key: key(row, 3)?,
        previous_key: key(row, 4)?,
        accepted: time(row, 5)?,
        since: Timestamp::from_micros(row.some_number(6)?),
        seen: Timestamp::from_micros(row.some_number(7)?),
        created: time(row, 8)?,
        retention,
        gone: time(row, 10)?,
        former: Vec::new(),
    })
}

fn former<R: Columns>(row: &R) -> Result<Option<Former>, Unavailable> {
    let Some(key) = key(row, 11)? else { return Ok(None) };
    let at = |at: usize| row.some_number(at).map(Timestamp::from_micros);
    Ok(Some(Former { key, since: at(12)?, seen: at(13)?, until: at(14)? }))
}

fn key<R: Columns>(row: &R, at: usize) -> Result<Option<KmsKeyArn>, Unavailable> {
    row.text(at)?.map(str::parse).transpose().map_err(garbled::<R>)
}

fn time<R: Columns>(row: &R, at: usize) -> Result<Option<Timestamp>, Unavailable> {
    Ok(row.number(at)?.map(Timestamp::from_micros))
}

/// A survey from a row of its columns in their order.
pub(super) fn survey<R: Columns>(row: &R) -> Result<Survey, Unavailable> {
    let at = |at: usize| row.some_number(at).map(Timestamp::from_micros);
    let log_groups = u64::try_from(row.some_number(4)?).map_err(garbled::<R>)?;
    Ok(Survey { place: place(row)?, first: at(2)?, last: at(3)?, log_groups })
}

// === impl Row ===

impl<'a> Row<'a> {
    /// The resource that it is about.
    pub(super) fn resource(&self) -> (&'a str, &'a str, &'a str) {
        (self.0, self.1, self.2)
    }
}
