//! Records what happens to the log itself. Before another key signs checkpoints, an event names both keys.

use std::time::Duration;

use crate::{
    audit::sequencer::Rotation,
    domain::audit::{AuditOperation, Completion, Event, EventId, JournalEntry, LogEvent},
    ports::{AuditLog, AuditUnavailable, Clock},
};

/// Records that another key signs from here on.
///
/// # Errors
///
/// [`AuditUnavailable`]; the new key must not sign then.
pub async fn record(
    audit: &dyn AuditLog,
    clock: &dyn Clock,
    rotation: &Rotation,
) -> Result<EventId, AuditUnavailable> {
    let Rotation { from, to, proof } = rotation;
    let log = LogEvent::Rotated {
        from: from.as_str().into(),
        to: to.as_str().into(),
        proof: proof.as_str().into(),
    };
    append_log_event(audit, clock, AuditOperation::RotateKey, log).await
}

/// Records a successful operation on the log itself.
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
