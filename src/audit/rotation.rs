//! Another key signs checkpoints: said in the log first, with both keys.

use std::time::Duration;

use super::sequencer::Rotation;
use crate::{
    domain::audit::{AuditOperation, Completion, Event, EventId, JournalEntry, LogEvent},
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
    let log = LogEvent::Rotated { from: from.as_str().into(), to: to.as_str().into() };
    append_log_event(audit, clock, AuditOperation::RotateKey, log).await
}

/// Says in the log what is done to it.
pub(super) async fn append_log_event(
    audit: &dyn AuditLog,
    clock: &dyn Clock,
    act: AuditOperation,
    log: LogEvent,
) -> Result<EventId, AuditUnavailable> {
    let end = Some(Completion { failure: None, aws_error: None, latency: Duration::ZERO });
    let event = Event { end, log: Some(log), ..Event::for_service(act, clock.now()) };
    audit.commit(JournalEntry::event_only(event)).await
}
