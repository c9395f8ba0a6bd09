//! Appends a batch, and recovers after an error.

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::error::{BEFORE_A_COMMIT, unavailable};
use crate::{
    domain::{audit::EventId, aws::AccountId, tenant::TenantId},
    ports::{AppendError, Batch},
    store::{columns::to_i64, key_rows, requests},
};

/// One statement, and so one transaction. The server never waits for the client between its parts.
const APPEND_SQL: &str = "\
SELECT append_tagged($1::uuid, $2::uuid, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
                     $13::jsonb, $14::jsonb, $15, $16::jsonb, $17, $18)";

/// The name of the column tells it from the statement of the previous release.
const RECOVER_SQL: &str = "SELECT recover($1::uuid, $2::uuid, $3::uuid) AS stored";

/// The one session of this process that may commit, with its ids.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: PgConnection,
    pub(super) process: Uuid,
    pub(super) id: Uuid,
}

/// Stores a batch.
pub(super) async fn append(session: &mut Session, batch: &Batch) -> Result<(), AppendError> {
    let events = &batch.events;
    let bodies: Result<Vec<&str>, _> = events.iter().map(|event| str::from_utf8(batch.body(event))).collect();
    let bodies = bodies.map_err(|source| AppendError::NotWritten(unavailable(source)))?;
    let query = sqlx::query(APPEND_SQL)
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
    // The sort is stable, so the order of the rows of one resource stays. All processes lock the resources in
    // the same order.
    rows.sort_by_key(|row| row.resource);
    let requests = requests::rows(&batch.requests);
    let query = query
        .bind(nullable(&rows)?)
        .bind(nullable(&requests.started)?)
        .bind(requests.expired_until)
        .bind(nullable(&requests.outcomes)?)
        .bind(to_i64(batch.tag.after))
        .bind(&*batch.tag.code);
    // Reads the whole response, because the transaction ends only after the row.
    query.execute(&mut session.connection).await.map(drop).map_err(failure)
}

/// Invalidates the earlier sessions of the process, and returns whether the event `doubtful` is stored.
pub(super) async fn recover(session: &mut Session, doubtful: Option<EventId>) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(RECOVER_SQL)
        .bind(session.process.to_string())
        .bind(session.id.to_string())
        .bind(doubtful.map(|id| id.to_string()))
        .fetch_one(&mut session.connection)
        .await?;
    row.try_get(0)
}

/// The rows as JSON. `None` if there are none.
fn nullable<T: serde::Serialize>(rows: &[T]) -> Result<Option<String>, AppendError> {
    let json = (!rows.is_empty()).then(|| serde_json::to_string(rows)).transpose();
    json.map_err(|source| AppendError::NotWritten(unavailable(source)))
}

/// Classifies an error. If the server reports one that ends a transaction before its commit, nothing was
/// stored.
fn failure(error: sqlx::Error) -> AppendError {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let certain = code.is_some_and(|code| BEFORE_A_COMMIT.iter().any(|before| code.starts_with(before)));
    if certain {
        AppendError::NotWritten(unavailable(error))
    } else {
        AppendError::Indeterminate(unavailable(error))
    }
}
