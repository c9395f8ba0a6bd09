//! Appending a batch, and beginning anew after an error.

use std::sync::LazyLock;

use serde::Serialize;
use sqlx::{Row as _, SqliteConnection};

use super::{
    file::{self, code},
    history, request,
};
use crate::{
    domain::{audit::EventId, aws::AccountId, tenant::TenantId},
    ports::{AppendError, Batch, Unavailable},
};

/// Events alone: one statement is a transaction of its own. The order is the batch's. `jsonb_each` hands on
/// what it has parsed; `json_each` would print each row as text, to be parsed again.
const EVENTS: &str = "\
INSERT INTO event (seq, id, time, tenant, kind, action, account, correlation, outcome, closes, body)
SELECT (SELECT coalesce(max(seq), 0) + 1 FROM event) + key,
       unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
       value ->> 6, value ->> 7, unhex(value ->> 8),
       CAST(substr($2, value ->> 9, value ->> 10) AS TEXT)
FROM jsonb_each($1)";

/// Events, what became true with them, and what becomes of requests: as much of it as there is.
static WITH_KNOWN: LazyLock<String> = LazyLock::new(|| whole(&[history::KNOWN]));
static WITH_REQUESTS: LazyLock<String> = LazyLock::new(|| whole(&[request::BEGUN, request::ENDED]));
static WITH_ALL: LazyLock<String> =
    LazyLock::new(|| whole(&[history::KNOWN, request::BEGUN, request::ENDED]));

fn whole(parts: &[&str]) -> String {
    format!("BEGIN IMMEDIATE;\n{EVENTS};\n{};\nCOMMIT", parts.join(";\n"))
}

#[derive(Serialize)]
struct EventRow<'a>(
    String,
    i64,
    Option<&'a str>,
    &'a str,
    &'a str,
    Option<&'a str>,
    &'a str,
    Option<&'a str>,
    Option<String>,
    usize,
    usize,
);

/// Keeps a batch in one transaction, with one statement a table.
pub(super) async fn append(writer: &mut SqliteConnection, batch: &Batch) -> Result<(), AppendError> {
    let events = json(&event_rows(batch))?;
    let known = !(batch.associations.is_empty() && batch.sightings.is_empty());
    let requests = !batch.requests.is_empty();
    let sql: &'static str = match (known, requests) {
        (false, false) => EVENTS,
        (true, false) => &WITH_KNOWN,
        (false, true) => &WITH_REQUESTS,
        (true, true) => &WITH_ALL,
    };
    let mut query = sqlx::query(sql).bind(events).bind(&*batch.bytes);
    query = query.bind(known.then(|| json(&history::rows(batch))).transpose()?);
    if requests {
        let rows = request::rows(&batch.requests);
        query = query.bind(json(&rows.begun)?).bind(rows.forgotten).bind(json(&rows.ended)?);
    }
    match query.execute(writer).await {
        Ok(_done) => Ok(()),
        Err(error) => Err(failure(error)),
    }
}

/// Makes durable what can be read, tries a write, and tells whether an event is there.
///
/// What a failed sync left behind may be in memory only: the frames of the write-ahead log are
/// copied into the database file and synced there, so that nothing depends on the log's file.
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
    let found = sqlx::query("SELECT 1 FROM event WHERE id = $1")
        .bind(id.0.as_bytes().as_slice())
        .fetch_optional(writer)
        .await
        .map_err(|source| unavailable(Some(source)))?;
    Ok(found.is_some())
}

/// What we say when SQLite does not do what it should.
pub(super) fn unavailable(source: Option<sqlx::Error>) -> Unavailable {
    Unavailable { dependency: "sqlite", source: source.map(Into::into) }
}

fn failure(error: sqlx::Error) -> AppendError {
    match file::result_code(&error) {
        Some(code::FULL | code::READONLY | code::CANTOPEN | code::BUSY | code::CONSTRAINT) => {
            AppendError::NotKept(unavailable(Some(error)))
        }
        _ => AppendError::Doubtful(unavailable(Some(error))),
    }
}

fn event_rows(batch: &Batch) -> Vec<EventRow<'_>> {
    batch
        .events
        .iter()
        .map(|event| {
            EventRow(
                hex(event.id),
                event.time.as_micros(),
                event.tenant.as_ref().map(TenantId::as_str),
                event.kind,
                event.action,
                event.account.as_ref().map(AccountId::as_str),
                event.correlation.as_str(),
                event.outcome,
                event.closes.map(hex),
                event.start.saturating_add(1),
                event.len,
            )
        })
        .collect()
}

pub(super) fn hex(id: EventId) -> String {
    id.0.as_simple().to_string()
}

fn json<T: Serialize>(rows: &T) -> Result<String, AppendError> {
    serde_json::to_string(rows).map_err(|source| {
        AppendError::NotKept(Unavailable { dependency: "sqlite", source: Some(source.into()) })
    })
}
