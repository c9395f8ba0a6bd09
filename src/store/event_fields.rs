//! Reads the index fields of an event from its bytes. A store compares them with its index, because a wrong
//! index would hide the event from lists.

use crate::domain::{
    audit::{
        EventId,
        schema::{IndexedEvent, Text},
    },
    time::Timestamp,
};

/// The fields of an event that find it. They are borrowed, because a verification reads every event of a log.
pub(super) struct EventFields<'e>(IndexedEvent<'e>);

// === impl EventFields ===

impl<'e> EventFields<'e> {
    /// Parses an event. `None` if that fails.
    pub(super) fn parse(body: &'e str) -> Option<Self> {
        serde_json::from_str(body).ok().map(Self)
    }

    pub(super) fn id(&self) -> Option<EventId> {
        self.0.metadata.uid.as_str().parse().ok().map(EventId)
    }

    pub(super) fn time(&self) -> Timestamp {
        self.0.time()
    }

    pub(super) fn tenant(&self) -> Option<&str> {
        self.0.metadata.tenant_uid.as_ref().map(Text::as_str)
    }

    pub(super) fn kind(&self) -> &str {
        self.0.metadata.event_code.as_str()
    }

    pub(super) fn action(&self) -> &str {
        self.0.api.operation.as_str()
    }

    pub(super) fn account(&self) -> Option<&str> {
        self.0.cloud.account.as_ref().map(|account| account.uid.as_str())
    }

    pub(super) fn correlation(&self) -> &str {
        self.0.metadata.correlation_uid.as_str()
    }

    /// `OK`, or the reason of a failure. `None` if the operation has not ended.
    pub(super) fn outcome(&self) -> Option<&str> {
        self.0.outcome()
    }

    pub(super) fn closes(&self) -> Option<&str> {
        self.0.unmapped.logkey.closes.as_ref().map(Text::as_str)
    }
}

/// The names of the fields that differ.
pub(super) fn mismatches<const N: usize>(differs: [(&'static str, bool); N]) -> Vec<&'static str> {
    differs.into_iter().filter_map(|(name, is_different)| is_different.then_some(name)).collect()
}

/// The mismatch of an event whose bytes cannot be parsed.
pub(super) const PARSE_ERROR: &str = "it cannot be read";
