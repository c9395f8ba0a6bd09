//! Appending a batch, and beginning anew after an error.

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::{
    super::{key_rows, requests},
    code,
};
use crate::{
    domain::{audit::EventId, aws::AccountId, tenant::TenantId},
    ports::{AppendError, Batch, Unavailable},
};

/// One statement is a transaction of its own: the client is never waited for between its parts.
const APPEND: &str = "\
SELECT append($1::uuid, $2::uuid, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
              $13::jsonb, $14::jsonb, $15, $16::jsonb)";

/// The one session of this process whose commits count, and who it is.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: PgConnection,
    pub(super) process: Uuid,
    pub(super) id: Uuid,
}

/// Keeps a batch.
pub(super) async fn append(session: &mut Session, batch: &Batch) -> Result<(), AppendError> {
    let events = &batch.events;
    let bodies: Result<Vec<&str>, _> = events.iter().map(|event| str::from_utf8(batch.body(event))).collect();
    let bodies = bodies.map_err(|source| AppendError::NotWritten(unavailable(source)))?;
    let query = sqlx::query(APPEND)
        .bind(session.process.to_string())
        .bind(session.id.to_string())
        .bind(events.iter().map(|event| event.id.to_string()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.time.as_micros()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.tenant.as_ref().map(TenantId::as_str)).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.kind).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.action).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.account.as_ref().map(AccountId::as_str)).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.correlation.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.outcome).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.closes.map(|id| id.to_string())).collect::<Vec<_>>())
        .bind(bodies);
    let mut rows = key_rows::rows(batch);
    // The order of each resource stays; all processes take resources in one order.
    rows.sort_by_key(key_rows::KeyRow::resource);
    let requests = requests::rows(&batch.requests);
    let query = query
        .bind(nullable(&rows)?)
        .bind(nullable(&requests.started)?)
        .bind(requests.forgotten)
        .bind(nullable(&requests.outcomes)?);
    // All of the answer is read: the transaction ends behind the row.
    query.execute(&mut session.connection).await.map(drop).map_err(failure)
}

/// Gives up the earlier sessions of the process, and tells whether an event is there.
pub(super) async fn recover(session: &mut Session, doubtful: Option<EventId>) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT recover($1::uuid, $2::uuid, $3::uuid)")
        .bind(session.process.to_string())
        .bind(session.id.to_string())
        .bind(doubtful.map(|id| id.to_string()))
        .fetch_one(&mut session.connection)
        .await?;
    row.try_get(0)
}

/// As JSON, where there is anything.
fn nullable<T: serde::Serialize>(rows: &[T]) -> Result<Option<String>, AppendError> {
    let json = (!rows.is_empty()).then(|| serde_json::to_string(rows)).transpose();
    json.map_err(|source| AppendError::NotWritten(unavailable(source)))
}

/// What we say when PostgreSQL does not do what it should.
pub(super) fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Unavailable {
    Unavailable { dependency: "postgres", source: Some(source.into()) }
}

/// Where the server itself names an error that comes before a commit, nothing was kept.
fn failure(error: sqlx::Error) -> AppendError {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let certain =
        code.is_some_and(|code| code::BEFORE_A_COMMIT.iter().any(|before| code.starts_with(before)));
    if certain {
        AppendError::NotWritten(unavailable(error))
    } else {
        AppendError::Indeterminate(unavailable(error))
    }
}
