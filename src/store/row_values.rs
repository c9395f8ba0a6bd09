//! Values in the columns of rows: as JSON for statements, and as the domain's types when they are read.

use serde::{Serialize, de::DeserializeOwned};

use super::columns::{Columns, corrupt_row};
use crate::{
    domain::{
        association::{Location, Target},
        time::Timestamp,
    },
    ports::Unavailable,
};

/// A stored value that this release does not know.
#[derive(Debug, thiserror::Error)]
#[error("a column has an unknown value")]
struct UnknownValue;

/// Rows as a JSON array.
pub(super) fn json<T: Serialize + ?Sized>(rows: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string(rows)
}

/// A list of values as rows with one column.
pub(super) fn list<T: Serialize>(values: impl IntoIterator<Item = T>) -> Result<String, serde_json::Error> {
    json(&values.into_iter().map(|value| [value]).collect::<Vec<_>>())
}

/// The name in the row of a resource. Query results have none.
pub(super) fn target_name(target: &Target) -> &str {
    match target {
        Target::LogGroup(name) => name.as_str(),
        Target::QueryResults => "",
    }
}

/// The target with this name.
pub(super) fn target<R: Columns>(name: &str) -> Result<Target, Unavailable> {
    match name {
        "" => Ok(Target::QueryResults),
        name => Ok(Target::LogGroup(parse::<R, _>(name)?)),
    }
}

/// The account and Region in two columns from this one on.
pub(super) fn location<R: Columns>(row: &R, at: usize) -> Result<Location, Unavailable> {
    Ok(Location {
        account: parse::<R, _>(row.required_text(at)?)?,
        region: parse::<R, _>(row.required_text(at + 1)?)?,
    })
}

pub(super) fn time<R: Columns>(row: &R, at: usize) -> Result<Option<Timestamp>, Unavailable> {
    Ok(row.number(at)?.map(Timestamp::from_micros))
}

/// The value of the number in a column, which is corrupt if there is none.
pub(super) fn known<R: Columns, T>(
    row: &R,
    at: usize,
    from_number: impl FnOnce(i64) -> Option<T>,
) -> Result<T, Unavailable> {
    from_number(row.required_number(at)?).ok_or_else(|| corrupt_row::<R>(UnknownValue))
}

pub(super) fn parse<R, T>(text: &str) -> Result<T, Unavailable>
where
    R: Columns,
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(corrupt_row::<R>)
}

pub(super) fn from_json<R: Columns, T: DeserializeOwned>(text: &str) -> Result<T, Unavailable> {
    serde_json::from_str(text).map_err(corrupt_row::<R>)
}
