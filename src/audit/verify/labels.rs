//! Whether the store finds an event by what its bytes say: a wrong label would hide it from lists.

use std::borrow::Cow;

use serde::Deserialize;
use uuid::Uuid;

use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::Labelled,
};

/// What the bytes say, as far as it is a label: borrowed, since every event of a log is read so.
#[derive(Deserialize)]
struct Said<'e> {
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
    logkey: Own<'e>,
}

#[derive(Deserialize)]
struct Own<'e> {
    time_us: Option<i64>,
    #[serde(borrow)]
    closes: Option<Cow<'e, str>>,
}

/// The columns that say something else than the bytes; none where all agree.
pub(super) fn wrong(labelled: &Labelled) -> String {
    let Labelled { event, time, kind, action, account, correlation, outcome, closes } = labelled;
    let Ok(said) = serde_json::from_str::<Said<'_>>(&event.body) else {
        return "it cannot be read".to_owned();
    };
    let Said { metadata, cloud, unmapped: Unmapped { logkey }, .. } = &said;
    let said_at = logkey.time_us.unwrap_or(said.time.saturating_mul(1000));
    let status = said.status_code.as_deref().or((said.status_id == 1).then_some("OK"));
    let said_closes = logkey.closes.as_deref();
    let same_closes = match (said_closes, closes) {
        (Some(said), Some(closes)) => is(said, *closes),
        (said, closes) => said.is_none() && closes.is_none(),
    };
    let differs = [
        ("id", !is(&metadata.uid, event.id)),
        ("tenant", metadata.tenant_uid.as_deref() != event.tenant.as_deref()),
        ("time", Timestamp::from_micros(said_at) != *time),
        ("kind", metadata.event_code != **kind),
        ("action", said.api.operation != **action),
        ("account", cloud.account.as_ref().map(|account| &*account.uid) != account.as_deref()),
        ("correlation", metadata.correlation_uid != **correlation),
        ("outcome", status != outcome.as_deref()),
        ("closes", !same_closes),
    ];
    if differs.iter().all(|(_, wrong)| !wrong) {
        return String::new();
    }
    let names: Vec<&str> = differs.into_iter().filter_map(|(name, wrong)| wrong.then_some(name)).collect();
    names.join(", ")
}

/// Whether the text is this id as it is written.
fn is(text: &str, id: EventId) -> bool {
    text == &*id.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer())
}
