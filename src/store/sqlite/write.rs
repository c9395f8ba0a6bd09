//! Appending a batch, and beginning anew after an error.

use std::{borrow::Cow, sync::OnceLock};

use serde::Serialize;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, sqlite::SqliteArguments};
use sqlx::{Sqlite, query::Query};

use super::{
    file::{self, code},
    history, request,
};
use crate::{
    domain::{audit::EventId, aws::AccountId, tenant::TenantId},
    ports::{AppendError, Batch, Indexed, Unavailable},
};

/// Most events of one statement; a larger batch takes several.
const MOST: usize = 64;
/// How many statements are kept prepared: one for each number of events and for what may stand beside them,
/// and the store's others.
pub(super) const PREPARED: usize = 4 * (MOST + 1) + 32;
/// Events. Parameters have no names: SQLite looks one up by its name in a list of all.
const EVENTS: &str = "INSERT INTO event (seq, id, time, tenant, kind, action, account, correlation, outcome, closes, body) VALUES ";
const EVENT: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

type Prepared = Query<'static, Sqlite, SqliteArguments>;

/// What a statement is about: how many events, and what beside them.
#[derive(Clone, Copy)]
struct Shape {
    events: usize,
    known: bool,
    requests: bool,
}

/// Keeps a batch in one transaction. Its first event gets the place `first`, the others those that follow.
pub(super) async fn append(
    writer: &mut SqliteConnection,
    batch: &Batch,
    first: i64,
) -> Result<(), AppendError> {
    let known = !(batch.associations.is_empty() && batch.sightings.is_empty());
    let shape = Shape { events: batch.events.len(), known, requests: !batch.requests.is_empty() };
    if shape.events <= MOST {
        let whole = bound(sqlx::query(shape.transaction()), batch, &batch.events, first);
        return execute(writer, beside(whole, batch, shape)?).await;
    }
    execute(writer, sqlx::query("BEGIN IMMEDIATE")).await?;
    for (events, first) in batch.events.chunks(MOST).zip((first..).step_by(MOST)) {
        let alone = Shape { events: events.len(), known: false, requests: false };
        execute(writer, bound(sqlx::query(alone.transaction()), batch, events, first)).await?;
    }
    let rest = sqlx::query(AssertSqlSafe(Shape { events: 0, ..shape }.statements().join(";\n")));
    execute(writer, beside(rest, batch, shape)?).await?;
    execute(writer, sqlx::query("COMMIT")).await
}

async fn execute(writer: &mut SqliteConnection, query: Prepared) -> Result<(), AppendError> {
    query.execute(writer).await.map(drop).map_err(failure)
}

// === impl Shape ===

impl Shape {
    /// The whole of it as one transaction, which events alone are by themselves. Made once for each shape.
    fn transaction(self) -> &'static str {
        static MADE: [[OnceLock<String>; 4]; MOST + 1] = [const { [const { OnceLock::new() }; 4] }; MOST + 1];
        let kind = usize::from(self.known) + 2 * usize::from(self.requests);
        let made = MADE.get(self.events).and_then(|kinds| kinds.get(kind));
        made.map_or("", |made| {
            made.get_or_init(|| match self.statements().as_slice() {
                [events] => events.clone(),
                statements => format!("BEGIN IMMEDIATE;\n{};\nCOMMIT", statements.join(";\n")),
            })
        })
    }

    fn statements(self) -> Vec<String> {
        let mut statements = Vec::new();
        if self.events > 0 {
            statements.push(format!("{EVENTS}{}", vec![EVENT; self.events].join(", ")));
        }
        if self.known {
            statements.push(history::KNOWN.to_owned());
        }
        if self.requests {
            statements.extend([request::BEGUN.to_owned(), request::ENDED.to_owned()]);
        }
        statements
    }
}

/// Binds events in the order of their parameters.
fn bound(mut query: Prepared, batch: &Batch, events: &[Indexed], first: i64) -> Prepared {
    for (seq, event) in (first..).zip(events) {
        let body = batch.body(event);
        query = query
            .bind(seq)
            .bind(blob(event.id))
            .bind(event.time.as_micros())
            .bind(event.tenant.as_ref().map(TenantId::as_str))
            .bind(event.kind)
            .bind(event.action)
            .bind(event.account.as_ref().map(AccountId::as_str))
            .bind(event.correlation.as_str())
            .bind(event.outcome)
            .bind(event.closes.map(blob))
            // JSON is UTF-8; to be sure of that is quicker than to look for what would have to be replaced.
            .bind(std::str::from_utf8(body).map_or_else(|_bad| String::from_utf8_lossy(body), Cow::Borrowed));
    }
    query
}

/// Binds what stands beside the events, in the order of its statements.
fn beside(mut query: Prepared, batch: &Batch, shape: Shape) -> Result<Prepared, AppendError> {
    if shape.known {
        query = query.bind(json(&history::rows(batch))?);
    }
    if shape.requests {
        let rows = request::rows(&batch.requests);
        query = query.bind(rows.forgotten).bind(json(&rows.begun)?).bind(json(&rows.ended)?);
    }
    Ok(query)
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

/// The place in the log of the event to come.
pub(super) async fn next(writer: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(seq), 0) + 1 FROM event").fetch_one(writer).await
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

fn blob(id: EventId) -> Vec<u8> {
    id.0.as_bytes().to_vec()
}

fn json<T: Serialize>(rows: &T) -> Result<String, AppendError> {
    serde_json::to_string(rows).map_err(|source| {
        AppendError::NotKept(Unavailable { dependency: "sqlite", source: Some(source.into()) })
    })
}
