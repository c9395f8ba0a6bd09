//! Reads the index fields of an event from its bytes. A store compares them with its index, because a wrong
//! index would hide the event from lists.

use std::borrow::Cow;

use serde::Deserialize;
use uuid::Uuid;

use crate::domain::{audit::EventId, time::Timestamp};

/// The id and the tenant of an event.
#[derive(Deserialize)]
struct EventHead<'e> {
    #[serde(borrow)]
    metadata: HeadMetadata<'e>,
}

#[derive(Deserialize)]
struct HeadMetadata<'e> {
    #[serde(borrow)]
    uid: Cow<'e, str>,
    #[serde(borrow)]
    tenant_uid: Option<Cow<'e, str>>,
}

/// Every index field. The fields are borrowed, because a verification reads every event of a log.
#[derive(Deserialize)]
pub(super) struct EventFields<'e> {
    time: i64,
    status_id: u8,
    #[serde(borrow)]
    status_code: Option<Cow<'e, str>>,
    #[serde(borrow)]
    metadata: Metadata<'e>,
    #[serde(borrow)]
    api: Api<'e>,
    #[serde(borrow)]
    cloud: Cloud<'e>,
    #[serde(borrow)]
    unmapped: Unmapped<'e>,
}

#[derive(Deserialize)]
struct Metadata<'e> {
    #[serde(borrow)]
    uid: Cow<'e, str>,
    #[serde(borrow)]
    tenant_uid: Option<Cow<'e, str>>,
    #[serde(borrow)]
    correlation_uid: Cow<'e, str>,
    #[serde(borrow)]
    event_code: Cow<'e, str>,
}

#[derive(Deserialize)]
struct Api<'e> {
    #[serde(borrow)]
    operation: Cow<'e, str>,
}

#[derive(Deserialize)]
struct Cloud<'e> {
    #[serde(borrow)]
    account: Option<Account<'e>>,
}

#[derive(Deserialize)]
struct Account<'e> {
    #[serde(borrow)]
    uid: Cow<'e, str>,
}

#[derive(Deserialize)]
struct Unmapped<'e> {
    #[serde(borrow)]
    logkey: LogkeyFields<'e>,
}

#[derive(Deserialize)]
struct LogkeyFields<'e> {
    time_us: Option<i64>,
    #[serde(borrow)]
    closes: Option<Cow<'e, str>>,
}

/// The id of the event and its tenant. If the bytes cannot be parsed, the id is nil and the tenant `None`.
pub(super) fn tenant_of(body: &str) -> (EventId, Option<String>) {
    let Ok(EventHead { metadata: HeadMetadata { uid, tenant_uid } }) = serde_json::from_str(body) else {
        return (EventId(Uuid::nil()), None);
    };
    (EventId(uid.parse().unwrap_or_default()), tenant_uid.map(Cow::into_owned))
}

// === impl EventFields ===

impl<'e> EventFields<'e> {
    /// Parses an event. `None` if that fails.
    pub(super) fn parse(body: &'e str) -> Option<Self> {
        serde_json::from_str(body).ok()
    }

    pub(super) fn id(&self) -> Option<EventId> {
        self.metadata.uid.parse().ok().map(EventId)
    }

    pub(super) fn time(&self) -> Timestamp {
        let micros = self.unmapped.logkey.time_us.unwrap_or(self.time.saturating_mul(1000));
        Timestamp::from_micros(micros)
    }

    pub(super) fn tenant(&self) -> Option<&str> {
        self.metadata.tenant_uid.as_deref()
    }

    pub(super) fn kind(&self) -> &str {
        &self.metadata.event_code
    }

    pub(super) fn action(&self) -> &str {
        &self.api.operation
    }

    pub(super) fn account(&self) -> Option<&str> {
        self.cloud.account.as_ref().map(|account| &*account.uid)
    }

    pub(super) fn correlation(&self) -> &str {
        &self.metadata.correlation_uid
    }

    /// `OK`, or the reason of a failure. `None` if the operation has not ended.
    pub(super) fn outcome(&self) -> Option<&str> {
        self.status_code.as_deref().or((self.status_id == 1).then_some("OK"))
    }

    pub(super) fn closes(&self) -> Option<&str> {
        self.unmapped.logkey.closes.as_deref()
    }
}

/// The names of the fields that differ.
pub(super) fn mismatches<const N: usize>(differs: [(&'static str, bool); N]) -> Vec<&'static str> {
    differs.into_iter().filter_map(|(name, is_different)| is_different.then_some(name)).collect()
}

/// The mismatch of an event whose bytes cannot be parsed.
pub(super) const PARSE_ERROR: &str = "it cannot be read";
