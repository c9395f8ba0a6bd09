//! Compares events with a filter by their own bytes.

use crate::{
    domain::{
        audit::schema::{ApiActivity, Text},
        tenant::TenantId,
    },
    ports::EventFilter,
};

/// Whether the filter has conditions on the events' bytes.
pub(super) fn needs_bytes(filter: &EventFilter) -> bool {
    *filter != EventFilter { after: filter.after, ..EventFilter::default() }
}

/// Whether an event matches. One that cannot be parsed matches only a filter without conditions on the bytes.
pub(super) fn matches(filter: &EventFilter, body: &str) -> bool {
    let EventFilter {
        tenant,
        since,
        until,
        action,
        outcome,
        correlation,
        subject,
        resource,
        after: _,
        kind,
        closes,
    } = filter;
    if !needs_bytes(filter) {
        return true;
    }
    let Ok(event) = ApiActivity::parse(body) else { return false };
    let (metadata, logkey) = (&event.metadata, &event.unmapped.logkey);
    let closes = closes.map(|intent| intent.to_string());
    let texts = [
        (tenant.as_ref().map(TenantId::as_str), metadata.tenant_uid.as_ref().map(Text::as_str)),
        (correlation.as_deref(), Some(metadata.correlation_uid.as_str())),
        (action.as_deref(), Some(event.api.operation.as_str())),
        (outcome.as_deref(), event.outcome()),
        (subject.as_deref(), event.actor.user.as_ref().map(|user| user.uid.as_str())),
        (resource.as_deref(), event.resources.first().map(|resource| resource.uid.as_str())),
        (*kind, Some(metadata.event_code.as_str())),
        (closes.as_deref(), logkey.closes.as_ref().map(Text::as_str)),
    ];
    texts.into_iter().all(|(wanted, found)| wanted.is_none() || wanted == found)
        && since.is_none_or(|since| event.time() >= since)
        && until.is_none_or(|until| event.time() < until)
}
