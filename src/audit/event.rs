//! Serializes an event as an OCSF 1.8.0 *API Activity* (class 6003, cloud profile) on one line.
//!
//! The journal calls it. The leaf hash covers exactly these bytes, so verification checks what was written
//! here.

mod map;
mod names;
mod ocsf;
mod sanitize;

use serde::Serialize as _;

pub(super) use self::names::settlement_outcome;
pub use self::sanitize::sanitize;
use crate::{
    domain::{
        association::Resource,
        audit::{Event, EventId},
        reason::Reason,
    },
    ports::EventIndexFields,
};

/// Appends an event to `bytes`. Returns its offset and length there, and the fields by which the store
/// indexes it.
///
/// # Errors
///
/// The serialization failed; `bytes` is then unchanged.
pub fn write(event: &Event, id: EventId, bytes: &mut Vec<u8>) -> Result<EventIndexFields, serde_json::Error> {
    let start = bytes.len();
    let arn = event.resource.as_ref().map(Resource::arn);
    let arn = arn.as_ref().map(|arn| arn as &dyn std::fmt::Display);
    let written = map::class(event, id, arn).serialize(&mut serde_json::Serializer::new(&mut *bytes));
    if let Err(error) = written {
        bytes.truncate(start);
        return Err(error);
    }
    Ok(EventIndexFields {
        id,
        time: event.time,
        tenant: event.actor.tenant.clone(),
        kind: names::kind(event.kind),
        action: names::operation_name(event.act),
        account: event.resource.as_ref().map(|resource| resource.location.account),
        correlation: event.correlation.clone(),
        outcome: event.end.as_ref().map(|end| end.failure.map_or("OK", Reason::as_str)),
        closes: event.closes,
        start,
        len: bytes.len() - start,
    })
}

#[cfg(test)]
mod tests;
