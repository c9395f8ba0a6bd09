//! Events as a table for people, and as the document that `ListAuditEvents` returns too.

use logkey_client::{
    output::{Column, Report, Table, to_json},
    proto::{AuditEvent, ListAuditEventsResponse},
};

use crate::{
    audit::parsed_event::{ParsedEvent, Unreadable},
    domain::time::Timestamp,
    ports::StoredEvent,
};

/// How many characters of an event's id a table shows. The last ones, because the first ones are its time.
const SHORT_ID: usize = 8;

/// Renders events in the given order, one row each.
///
/// # Errors
///
/// [`Unreadable`] for the first event that is none.
pub fn report(events: &[StoredEvent]) -> Result<Report, Unreadable> {
    let views = events.iter().map(ParsedEvent::try_from).collect::<Result<Vec<_>, _>>()?;
    let mut table = table();
    for view in &views {
        add_row(&mut table, view);
    }
    Ok(Report::new(document(&views, events), table))
}

/// The report of one event, as one row.
pub(super) fn row(view: &ParsedEvent, event: &StoredEvent) -> Report {
    let mut table = table();
    add_row(&mut table, view);
    Report::new(to_json(&message(view, event)), table)
}

/// A table of events without rows.
pub(super) fn table() -> Table {
    let columns = [
        Column::new("position"),
        Column::narrow("event"),
        Column::narrow("time"),
        Column::new("action"),
        Column::new("outcome"),
        Column::optional("resource"),
        Column::optional("tenant"),
        Column::optional("kind"),
        Column::optional("key"),
        Column::optional("subject"),
        Column::wide("request"),
        Column::wide("id"),
        Column::wide("time"),
    ];
    Table::new(&columns, "no events").named_by("id")
}

/// Adds the row of an event.
pub(super) fn add_row(table: &mut Table, event: &ParsedEvent) {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let key = event.resolved_key.as_deref().or(event.requested_key.as_deref());
    table.push([
        event.seq.to_string(),
        short_id(event),
        seconds(event.time),
        event.action.clone(),
        outcome(event),
        event.resource.as_deref().map(abbreviate).unwrap_or_default().to_owned(),
        or_empty(&event.tenant),
        event.kind.clone(),
        key.map(abbreviate).unwrap_or_default().to_owned(),
        or_empty(&event.subject),
        event.correlation.clone(),
        event.id.clone(),
        event.time.to_string(),
    ]);
}

/// The document of these events, which `views` shows.
pub(super) fn document(views: &[ParsedEvent], events: &[StoredEvent]) -> serde_json::Value {
    let events = views.iter().zip(events).map(|(view, event)| message(view, event)).collect();
    to_json(&ListAuditEventsResponse { events, ..ListAuditEventsResponse::default() })
}

/// An event as `AuditService` returns it.
pub(super) fn message(view: &ParsedEvent, event: &StoredEvent) -> AuditEvent {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let micros = view.time.as_micros();
    AuditEvent {
        id: view.id.clone(),
        position: i64::try_from(view.seq).unwrap_or(i64::MAX),
        time: Some(prost_types::Timestamp {
            seconds: micros.div_euclid(1_000_000),
            nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default(),
        }),
        tenant_id: or_empty(&view.tenant),
        kind: view.kind.clone(),
        action: view.action.clone(),
        subject: or_empty(&view.subject),
        resource: or_empty(&view.resource),
        outcome: or_empty(&view.outcome),
        correlation_id: view.correlation.clone(),
        count: i32::try_from(view.count).unwrap_or(i32::MAX),
        json: event.body.clone(),
    }
}

/// The last characters of the event's id.
pub(super) fn short_id(event: &ParsedEvent) -> String {
    let skipped = event.id.chars().count().saturating_sub(SHORT_ID);
    event.id.chars().skip(skipped).collect()
}

/// A time to the second, in UTC; the event itself has microseconds.
pub(super) fn seconds(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(..19).map_or_else(|| text.clone(), |start| start.replace('T', " "))
}

/// How the call ended. An intent has no end yet.
pub(super) fn outcome(event: &ParsedEvent) -> String {
    let outcome = event.outcome.as_deref().map_or_else(|| format!("({})", event.kind), str::to_owned);
    if event.count == 1 { outcome } else { format!("{outcome} (x{})", event.count) }
}

/// An ARN without `arn:`, its partition and its service.
fn abbreviate(arn: &str) -> &str {
    let rest = arn.strip_prefix("arn:").and_then(|rest| rest.split_once(':'));
    rest.and_then(|(_partition, rest)| rest.split_once(':')).map_or(arn, |(_service, rest)| rest)
}
