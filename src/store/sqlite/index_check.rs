//! Compares events with the index that leads to them, because a wrong index would hide an event from lists.

use serde::Serialize;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    error::{failed, garbled},
    event_rows,
    packed_event::Unpacker,
    read::Reader,
    write,
};
use crate::{
    ports::{IndexCheckedEvent, StoredEvent, Unavailable},
    store::{
        columns::{Columns as _, to_i64},
        event_fields::{self, EventFields, PARSE_ERROR},
    },
};

/// Selects each event with its batch, and whether the batch is at a wrong place: the previous batch overlaps
/// it, or, for the newest event, a batch begins after it and after the newest checkpoint.
const EVENTS_SQL: &str = "\
SELECT event.seq, event.body, event.packed, since, until, least, most, batch.first,
    EXISTS (
        SELECT 1 FROM batch AS before
        WHERE before.first = (SELECT max(first) FROM batch AS b WHERE b.first < batch.first)
        AND before.last >= batch.first)
    OR event.seq = (SELECT max(seq) FROM event)
        AND EXISTS (SELECT 1 FROM batch WHERE first > max(event.seq, (SELECT coalesce(max(size), 0) FROM checkpoint)))
FROM event LEFT JOIN batch
    ON batch.first = (SELECT max(first) FROM batch WHERE first <= event.seq) AND batch.last >= event.seq
WHERE event.seq > $1 ORDER BY event.seq LIMIT $2";

/// Selects for each tenant, call and batch whether the batch is listed for the tenant and for the call.
const LISTED_SQL: &str = "\
SELECT
    EXISTS (SELECT 1 FROM batch_of_tenant AS of WHERE of.tenant = row.value ->> 0 AND of.first = row.value ->> 2),
    EXISTS (SELECT 1 FROM batch_of_call AS of WHERE of.correlation = row.value ->> 1 AND of.first = row.value ->> 2)
FROM json_each($1) AS row ORDER BY row.key";

/// An event with the row of its batch.
struct BatchedEvent {
    event: StoredEvent,
    batch: Option<i64>,
    /// `None` if the event cannot be parsed.
    parsed: Option<Parsed>,
}

/// What of an event leads to it, and what of that differs from its batch.
struct Parsed {
    tenant: Option<String>,
    call: String,
    is_id_outside: bool,
    is_time_outside: bool,
    is_misplaced: bool,
}

/// A row of [`LISTED_SQL`]'s parameter.
#[derive(Serialize)]
struct Listing<'e>(Option<&'e str>, Option<&'e str>, Option<i64>);

/// Reads at most `limit` events after a sequence number. Both statements read the same state, because an archive
/// can remove events meanwhile.
pub(super) async fn after(
    reader: &Reader,
    seq: u64,
    limit: u32,
) -> Result<Vec<IndexCheckedEvent>, Unavailable> {
    let _read = reader.gate.begin_read().await;
    let mut transaction = reader.begin().await?;
    let events = sqlx::query(EVENTS_SQL).bind(to_i64(seq)).bind(i64::from(limit));
    let rows = events.fetch_all(&mut *transaction).await.map_err(failed)?;
    let mut unpacker = Unpacker::new();
    let events: Result<Vec<BatchedEvent>, _> = rows.iter().map(|row| compared(row, &mut unpacker)).collect();
    let events = events?;
    let listings: Vec<_> = events.iter().map(BatchedEvent::listing).collect();
    let listed = sqlx::query(LISTED_SQL).bind(serde_json::to_string(&listings).map_err(garbled)?);
    let listed = listed.fetch_all(&mut *transaction).await.map_err(failed)?;
    transaction.rollback().await.map_err(failed)?;
    events.into_iter().zip(&listed).map(|(event, row)| event.checked(row)).collect()
}

fn compared(row: &SqliteRow, unpacker: &mut Unpacker) -> Result<BatchedEvent, Unavailable> {
    let event = event_rows::event(row, unpacker)?;
    let batch = row.number(7)?;
    let Some(fields) = EventFields::parse(&event.body) else {
        return Ok(BatchedEvent { event, batch, parsed: None });
    };
    let id = fields.id();
    let bytes = id.map(write::blob).unwrap_or_default();
    let (min, max): (Option<&[u8]>, Option<&[u8]>) =
        (row.try_get(5).map_err(failed)?, row.try_get(6).map_err(failed)?);
    let parsed = Parsed {
        tenant: fields.tenant().map(str::to_owned),
        call: fields.correlation().to_owned(),
        is_id_outside: !(min..=max).contains(&Some(&*bytes)),
        is_time_outside: !(row.number(3)?..=row.number(4)?).contains(&Some(fields.time().as_micros())),
        is_misplaced: row.required_number(8)? != 0,
    };
    Ok(BatchedEvent { event, batch, parsed: Some(parsed) })
}

// === impl BatchedEvent ===

impl BatchedEvent {
    /// The tenant, the call and the batch, as [`LISTED_SQL`] reads them.
    fn listing(&self) -> Listing<'_> {
        let tenant = self.parsed.as_ref().and_then(|parsed| parsed.tenant.as_deref());
        Listing(tenant, self.parsed.as_ref().map(|parsed| &*parsed.call), self.batch)
    }

    /// Adds whether the batch is listed.
    fn checked(self, row: &SqliteRow) -> Result<IndexCheckedEvent, Unavailable> {
        let Some(parsed) = self.parsed else {
            return Ok(IndexCheckedEvent { event: self.event, mismatches: vec![PARSE_ERROR] });
        };
        let mismatches = event_fields::mismatches([
            ("id", parsed.is_id_outside),
            ("tenant", parsed.tenant.is_some() && !row.flag(0)?),
            ("time", parsed.is_time_outside),
            ("correlation", !row.flag(1)?),
            ("place", parsed.is_misplaced),
        ]);
        Ok(IndexCheckedEvent { event: self.event, mismatches })
    }
}
