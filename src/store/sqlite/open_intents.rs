//! Finds the intents that no event closes.

use std::collections::HashMap;

use super::{event_rows, read::Reader};
use crate::{
    domain::time::Timestamp,
    ports::{StoredEvent, Unavailable},
    store::{
        columns::{Columns as _, to_i64},
        database::Database as _,
        event_fields::EventFields,
    },
};

/// The number of events that one statement reads.
const PAGE: i64 = 1024;
/// The outcome that closes no intent, because AWS did not answer.
const UNKNOWN: &str = "OUTCOME_UNKNOWN";

/// Selects the position before which every intent is closed.
const START_SQL: &str = "SELECT max(value, $1) FROM fact WHERE name = 'settled_before'";

/// Selects the position where the next such search can begin if this one finds no open intent: the first
/// batch that reaches beyond the searched time. An intent is committed long before it is searched for, so
/// none is added before that position.
const NEXT_START_SQL: &str = "\
SELECT coalesce(
    (SELECT first FROM batch
     WHERE first >= coalesce((SELECT max(first) FROM batch WHERE first <= $2), 0) AND until >= $1
     ORDER BY first LIMIT 1),
    (SELECT max(seq) FROM event), 0)";

const EVENTS_SQL: &str = "SELECT seq, body, packed FROM event WHERE seq >= $1 ORDER BY seq LIMIT $2";

/// The open intents from before a time, and where the next search can begin.
pub(super) struct OpenIntents {
    pub(super) events: Vec<StoredEvent>,
    pub(super) next_start: i64,
}

/// Searches from the position before which this process found every intent closed.
pub(super) async fn find(
    reader: &Reader,
    before: Timestamp,
    reconciled: i64,
) -> Result<OpenIntents, Unavailable> {
    let next = reader.rows(NEXT_START_SQL, &[before.as_micros().into(), reconciled.into()]).await?;
    let next = next.first().map_or(Ok(0), |row| row.required_number(0))?;
    let start = reader.rows(START_SQL, &[reconciled.into()]).await?;
    let mut start = start.first().map_or(Ok(reconciled), |row| row.required_number(0))?;
    let mut open = HashMap::new();
    loop {
        let rows = reader.rows(EVENTS_SQL, &[start.into(), PAGE.into()]).await?;
        let Some(last) = rows.last() else { break };
        start = last.required_number(0)?.saturating_add(1);
        for event in event_rows::events(&rows)? {
            apply(&mut open, event, before);
        }
    }
    let mut events: Vec<StoredEvent> = open.into_values().collect();
    events.sort_unstable_by_key(|event| event.seq);
    let next_start = events.first().map_or(next, |oldest| to_i64(oldest.seq));
    Ok(OpenIntents { events, next_start })
}

/// Adds an intent, or removes the one that the event closes. The key is the id as text.
fn apply(open: &mut HashMap<String, StoredEvent>, event: StoredEvent, before: Timestamp) {
    let Some(fields) = EventFields::parse(&event.body) else { return };
    if let Some(closes) = fields.closes()
        && (fields.kind() == "settled" || fields.outcome() != Some(UNKNOWN))
    {
        open.remove(closes);
    }
    if fields.kind() == "intent" && fields.time() < before {
        let id = event.id.to_string();
        open.insert(id, event);
    }
}
