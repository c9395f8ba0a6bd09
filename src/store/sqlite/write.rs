//! Appends a batch, and recovers after an error.

use std::{collections::BTreeSet, sync::OnceLock};

use serde::Serialize;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, sqlite::SqliteArguments};
use sqlx::{Sqlite, query::Query};

use super::{
    error::{failed, garbled, unavailable},
    event_rows,
    file::{self, code},
};
use crate::{
    domain::{audit::EventId, tenant::TenantId},
    ports::{AppendError, Batch, Unavailable},
    store::{columns::to_i64, key_rows, requests},
};

/// The maximum number of events in one statement. A larger batch takes several statements.
const MAX_EVENTS: usize = 64;
/// The number of cached prepared statements: two for each number of events, one for a whole batch and one for
/// the rest of a larger batch, and the store's other statements.
pub(super) const STATEMENT_CACHE: usize = 2 * MAX_EVENTS + 64;
/// Inserts events. Parameters have no names, because SQLite finds a name by a linear search.
const EVENTS_SQL: &str = "INSERT INTO event (seq, body, packed) VALUES ";
const EVENT_VALUES_SQL: &str = "(?, '', ?)";
/// Inserts the rows that belong to the events. For a batch with a single event it also inserts the event.
const APPEND_SQL: &str = "\
INSERT INTO append
    (seq, last, since, until, least, most, after, tag, tenants, calls, known, forgotten, begun, ended, packed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Selects the events of the batches that can have an event with this id, the newest first. The ids of a batch
/// are close together, so these are few batches.
const CANDIDATES_SQL: &str = "\
SELECT event.seq, event.body, event.packed
FROM batch CROSS JOIN event ON event.seq BETWEEN batch.first AND batch.last
WHERE $1 BETWEEN batch.least AND batch.most AND batch.first < $2 AND event.seq < $2
ORDER BY batch.first DESC, event.seq DESC LIMIT 256";

type InsertQuery = Query<'static, Sqlite, SqliteArguments>;

/// Stores a batch in one transaction, given the frames of its events. They get consecutive sequence numbers that
/// start at `first`.
pub(super) async fn append(
    writer: &mut SqliteConnection,
    batch: &Batch,
    frames: Vec<Vec<u8>>,
    first: i64,
) -> Result<(), AppendError> {
    let none = None::<Vec<u8>>;
    if frames.len() <= 1 {
        let frame = frames.into_iter().next();
        return execute(writer, bind_index(sqlx::query(APPEND_SQL), batch, first)?.bind(frame)).await;
    }
    if frames.len() <= MAX_EVENTS {
        let whole = bind_events(sqlx::query(transaction(frames.len())), frames, first);
        return execute(writer, bind_index(whole, batch, first)?.bind(none)).await;
    }
    execute(writer, sqlx::query("BEGIN IMMEDIATE")).await?;
    let mut frames = frames.into_iter();
    for first in (first..).step_by(MAX_EVENTS) {
        let some: Vec<Vec<u8>> = frames.by_ref().take(MAX_EVENTS).collect();
        if some.is_empty() {
            break;
        }
        let insert = sqlx::query(AssertSqlSafe(insert_sql(some.len())));
        execute(writer, bind_events(insert, some, first)).await?;
    }
    execute(writer, bind_index(sqlx::query(APPEND_SQL), batch, first)?.bind(none)).await?;
    execute(writer, sqlx::query("COMMIT")).await
}

async fn execute(writer: &mut SqliteConnection, query: InsertQuery) -> Result<(), AppendError> {
    query.execute(writer).await.map(drop).map_err(failure)
}

/// The SQL of a transaction for a batch of so many events. It is built once for each number.
fn transaction(events: usize) -> &'static str {
    static SQL_CACHE: [OnceLock<String>; MAX_EVENTS + 1] = [const { OnceLock::new() }; MAX_EVENTS + 1];
    let cached_sql = SQL_CACHE.get(events);
    cached_sql.map_or("", |cached_sql| {
        cached_sql.get_or_init(|| format!("BEGIN IMMEDIATE;\n{};\n{APPEND_SQL};\nCOMMIT", insert_sql(events)))
    })
}

fn insert_sql(events: usize) -> String {
    format!("{EVENTS_SQL}{}", vec![EVENT_VALUES_SQL; events].join(", "))
}

/// Binds events in the order of their parameters.
fn bind_events(mut query: InsertQuery, frames: Vec<Vec<u8>>, first: i64) -> InsertQuery {
    for (seq, frame) in (first..).zip(frames) {
        query = query.bind(seq).bind(frame);
    }
    query
}

/// Binds the parameters of [`APPEND_SQL`] except the last one, the frame of a single event.
fn bind_index(query: InsertQuery, batch: &Batch, first: i64) -> Result<InsertQuery, AppendError> {
    let events = &batch.events;
    let last = first.saturating_add(i64::try_from(events.len()).unwrap_or(i64::MAX)) - 1;
    let times = || events.iter().map(|event| event.time.as_micros());
    let ids = || events.iter().map(|event| event.id);
    let tenants: BTreeSet<&str> =
        events.iter().filter_map(|event| event.tenant.as_ref()).map(TenantId::as_str).collect();
    let calls: BTreeSet<&str> = events.iter().map(|event| event.correlation.as_str()).collect();
    let query = query.bind((!events.is_empty()).then_some(first)).bind(last);
    let query = query.bind(times().min()).bind(times().max());
    let query = query.bind(ids().min().map(blob)).bind(ids().max().map(blob));
    let is_tagged = !batch.tag.code.is_empty();
    let query = query.bind(is_tagged.then(|| to_i64(batch.tag.after)));
    let query = query.bind(is_tagged.then(|| batch.tag.code.clone()));
    let query = query.bind(json(&tenants)?).bind(json(&calls)?);
    let key_rows = key_rows::rows(batch);
    let query = query.bind((!key_rows.is_empty()).then(|| json(&key_rows)).transpose()?);
    if batch.requests.is_empty() {
        return Ok(query.bind(None::<i64>).bind(None::<&str>).bind(None::<&str>));
    }
    let rows = requests::rows(&batch.requests);
    Ok(query.bind(rows.expired_until).bind(json(&rows.started)?).bind(json(&rows.outcomes)?))
}

/// Makes everything that can be read durable, tries a write, and returns whether the event `doubtful` is
/// stored.
///
/// After a failed sync, frames of the write-ahead log may be in memory only. They are copied to the database
/// file and synced there, so that nothing depends on the file of the write-ahead log.
pub(super) async fn recover(
    writer: &mut SqliteConnection,
    doubtful: Option<EventId>,
) -> Result<bool, Unavailable> {
    let moved = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
        .fetch_one(&mut *writer)
        .await
        .map_err(|source| unavailable(Some(source)))?;
    let (frames, copied): (i64, i64) = (moved.get(1), moved.get(2));
    if frames != copied {
        return Err(unavailable(None));
    }
    sqlx::query("UPDATE fact SET value = value + 1 WHERE name = 'recovered'")
        .execute(&mut *writer)
        .await
        .map_err(|source| unavailable(Some(source)))?;
    let Some(id) = doubtful else { return Ok(false) };
    let mut before = i64::MAX;
    loop {
        let rows = candidates(id, before).fetch_all(&mut *writer).await.map_err(failed)?;
        let events = event_rows::events(&rows)?;
        if events.iter().any(|event| event.id == id) {
            return Ok(true);
        }
        let Some(oldest) = events.last() else { return Ok(false) };
        before = to_i64(oldest.seq);
    }
}

/// The query for events before this sequence number that can have this id.
pub(super) fn candidates(id: EventId, before: i64) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query(CANDIDATES_SQL).bind(blob(id)).bind(before)
}

/// The sequence number of the next event.
pub(super) async fn next(writer: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(seq), 0) + 1 FROM event").fetch_one(writer).await
}

fn failure(error: sqlx::Error) -> AppendError {
    match file::result_code(&error) {
        Some(code::FULL | code::READONLY | code::CANTOPEN | code::BUSY | code::CONSTRAINT) => {
            AppendError::NotWritten(unavailable(Some(error)))
        }
        _ => AppendError::Indeterminate(unavailable(Some(error))),
    }
}

pub(super) fn blob(id: EventId) -> Vec<u8> {
    id.0.as_bytes().to_vec()
}

fn json<T: Serialize>(rows: &T) -> Result<String, AppendError> {
    serde_json::to_string(rows).map_err(|source| AppendError::NotWritten(garbled(source)))
}
