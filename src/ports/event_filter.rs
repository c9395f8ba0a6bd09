//! Which events a read of the audit log returns.

use crate::domain::{
    audit::{
        EventId,
        schema::{ApiActivity, Text},
    },
    tenant::TenantId,
    time::Timestamp,
};

/// A filter for events. A field with `None` matches every event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventFilter {
    /// Events of this tenant.
    pub tenant: Option<TenantId>,
    /// Events at or after this time.
    pub since: Option<Timestamp>,
    /// Events before this time.
    pub until: Option<Timestamp>,
    /// Events with this action.
    pub action: Option<String>,
    /// Events with this outcome: `OK`, or the reason of a failure.
    pub outcome: Option<String>,
    /// Events of the call with this request id.
    pub correlation: Option<String>,
    /// Events of a caller with this subject.
    pub subject: Option<String>,
    /// Events about the resource with this ARN.
    pub resource: Option<String>,
    /// Events after this sequence number.
    pub after: Option<u64>,
    /// Events of this kind, such as `intent`.
    pub kind: Option<&'static str>,
    /// Events that close this intent.
    pub closes: Option<EventId>,
}

// === impl EventFilter ===

impl EventFilter {
    /// Whether the filter has conditions on the events' bytes.
    #[must_use]
    pub fn needs_bytes(&self) -> bool {
        *self != Self { after: self.after, ..Self::default() }
    }

    /// Whether the bytes of an event match; [`Self::after`] does not count. An event that cannot be parsed matches only a
    /// filter without conditions on the bytes.
    #[must_use]
    pub fn matches(&self, body: &str) -> bool {
        let Self {
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
        } = self;
        if !self.needs_bytes() {
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
}
