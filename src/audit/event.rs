//! Serializes an event as an OCSF 1.8.0 *API Activity* (class 6003, cloud profile) on one line, and a finding as
//! a *Compliance Finding* (class 2003).
//!
//! The journal calls it. The leaf hash covers exactly these bytes, so verification checks what was written
//! here.

mod finding;
mod map;
mod names;
mod sanitize;

use serde::Serialize as _;
use uuid::Uuid;

use self::map::Texts;
pub(super) use self::names::settlement_outcome;
pub use self::{
    names::{operation_names, outcome_names},
    sanitize::sanitize,
};
use crate::{
    domain::{
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
    let (mut id_text, mut closes_text) = (Uuid::encode_buffer(), Uuid::encode_buffer());
    let arn = event.resource.as_ref().map(|resource| resource.arn().to_string());
    let texts = Texts {
        id: id.0.hyphenated().encode_lower(&mut id_text),
        closes: event.closes.map(|intent| &*intent.0.hyphenated().encode_lower(&mut closes_text)),
        arn: arn.as_deref(),
    };
    let mut serializer = serde_json::Serializer::new(&mut *bytes);
    let written = match &event.finding {
        Some(found) => finding::class(event, found, &texts).serialize(&mut serializer),
        None => map::class(event, &texts).serialize(&mut serializer),
    };
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
        outcome: match &event.finding {
            Some(found) => Some(names::finding_status(found)),
            None => event.end.as_ref().map(|end| end.failure.map_or("OK", Reason::as_str)),
        },
        closes: event.closes,
        start,
        len: bytes.len() - start,
    })
}

#[cfg(test)]
mod tests;
