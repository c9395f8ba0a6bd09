//! Appending a batch, and beginning anew after an error.

use serde::Serialize;
use sqlx::{Row as _, SqliteConnection};

use super::file::{self, code};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{RecordedAssociation, Target},
        audit::EventId,
        aws::AccountId,
        tenant::TenantId,
    },
    ports::{AppendError, Batch, Unavailable},
};

/// Events alone: one statement is a transaction of its own. The order is the batch's.
const EVENTS: &str = "\
INSERT INTO event (seq, id, time, tenant, kind, action, account, correlation, outcome, closes, body)
SELECT (SELECT coalesce(max(seq), 0) + 1 FROM event) + key,
       unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
       value ->> 6, value ->> 7, unhex(value ->> 8),
       CAST(substr($2, value ->> 9, value ->> 10) AS TEXT)
FROM json_each($1)";

/// Events, and what became true with them.
const EVENTS_AND_ASSOCIATIONS: &str = "\
BEGIN IMMEDIATE;
INSERT INTO event (seq, id, time, tenant, kind, action, account, correlation, outcome, closes, body)
SELECT (SELECT coalesce(max(seq), 0) + 1 FROM event) + key,
       unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
       value ->> 6, value ->> 7, unhex(value ->> 8),
       CAST(substr($2, value ->> 9, value ->> 10) AS TEXT)
FROM json_each($1);
INSERT INTO association (account, region, log_group, key_arn, previous_key, accepted)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
FROM json_each($3) WHERE true
ON CONFLICT (account, region, log_group) DO UPDATE
SET key_arn = excluded.key_arn, previous_key = excluded.previous_key, accepted = excluded.accepted
WHERE excluded.accepted >= association.accepted;
COMMIT";

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

#[derive(Serialize)]
struct AssociationRow<'a>(&'a str, &'a str, &'a str, Option<&'a str>, Option<&'a str>, i64);

/// Keeps a batch in one transaction, with one statement a table.
pub(super) async fn append(writer: &mut SqliteConnection, batch: &Batch) -> Result<(), AppendError> {
    let events = json(&event_rows(batch))?;
    let query = if batch.associations.is_empty() {
        sqlx::query(EVENTS).bind(events).bind(&*batch.bytes)
    } else {
        let associations = json(&batch.associations.iter().map(association_row).collect::<Vec<_>>())?;
        sqlx::query(EVENTS_AND_ASSOCIATIONS).bind(events).bind(&*batch.bytes).bind(associations)
    };
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

fn association_row(record: &RecordedAssociation) -> AssociationRow<'_> {
    let place = &record.resource.place;
    AssociationRow(
        place.account.as_str(),
        place.region.as_str(),
        log_group(&record.resource.target),
        record.key.as_ref().map(KmsKeyArn::as_str),
        record.previous_key.as_ref().map(KmsKeyArn::as_str),
        record.accepted.as_micros(),
    )
}

/// How a target stands in the table: query results have the empty name, which no log group has.
pub(super) fn log_group(target: &Target) -> &str {
    match target {
        Target::LogGroup(name) => name.as_str(),
        Target::QueryResults => "",
    }
}

fn hex(id: EventId) -> String {
    id.0.as_simple().to_string()
}

fn json<T: Serialize>(rows: &T) -> Result<String, AppendError> {
    serde_json::to_string(rows).map_err(|source| {
        AppendError::NotKept(Unavailable { dependency: "sqlite", source: Some(source.into()) })
    })
}
