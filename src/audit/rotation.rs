//! Another key signs checkpoints: said in the log first, with both keys.

use std::time::Duration;

use super::sequencer::Rotation;
use crate::{
    domain::audit::{Act, End, Entry, Event, EventId, LogChange},
    ports::{AuditLog, AuditUnavailable, Clock},
};

/// Says in the log that another key signs from here on.
///
/// # Errors
///
/// [`AuditUnavailable`]; then the other key must not sign.
pub async fn record(
    audit: &dyn AuditLog,
    clock: &dyn Clock,
    rotation: &Rotation,
) -> Result<EventId, AuditUnavailable> {
    let Rotation { from, to } = rotation;
    let log = LogChange::Rotated { from: from.as_str().into(), to: to.as_str().into() };
    say(audit, clock, Act::RotateKey, log).await
}

/// Says in the log what is done to it.
pub(super) async fn say(
    audit: &dyn AuditLog,
    clock: &dyn Clock,
    act: Act,
    log: LogChange,
) -> Result<EventId, AuditUnavailable> {
    let end = Some(End { failure: None, aws_error: None, latency: Duration::ZERO });
    let event = Event { end, log: Some(log), ..Event::of_service(act, clock.now()) };
    audit.commit(Entry::only(event)).await
}
