//! Reads the log by filter, by sequence number and by id. Every wait has a time limit.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{
    PgConnection, PgPool, Postgres, QueryBuilder,
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use tokio::time;

use super::{
    error::{UNDEFINED_TABLE, has_code, timed_out, unavailable},
    server::{ConnectError, PoolKind, Server},
};
use crate::{
    domain::{
        audit::{EventId, schema::pg_json_path},
        time::Timestamp,
    },
    ports::{EventFilter, EventReader, IndexCheckedEvent, StoredBatch, StoredEvent, Unavailable},
    store::{
        columns::{Columns as _, to_i64},
        database::{Database, Param, bind_all},
        error::OpenError,
        event_fields::{self, EventFields, PARSE_ERROR},
        tree_rows,
    },
};

/// The maximum number of concurrent queries.
const MAX_CONNECTIONS: u32 = 6;
/// The maximum duration of a query for a call.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum duration of a query of a tool that reads the whole log.
const LONG_TIMEOUT: Duration = Duration::from_mins(5);

/// Selects the open intents. It searches only from the position before which every intent is closed.
const OPEN_INTENTS_SQL: &str = "\
WITH recent AS MATERIALIZED (
    SELECT seq, id, time, kind, outcome, closes FROM event
    WHERE seq >= greatest($2, (SELECT value FROM fact WHERE name = 'settled_before'))
      AND (kind = 'intent' OR closes IS NOT NULL))
SELECT event.seq, event.id::text, event.tenant, event.body FROM recent AS intent JOIN event USING (seq)
WHERE intent.kind = 'intent' AND intent.time < $1 AND intent.id NOT IN (
    SELECT closes FROM recent
    WHERE closes IS NOT NULL AND (kind = 'settled' OR outcome IS DISTINCT FROM 'OUTCOME_UNKNOWN'))
ORDER BY event.seq";
/// Selects the position where the next such search can begin if this one finds no open intent: the first
/// event after the searched time. Events that are committed later come after it.
const NEXT_START_SQL: &str =
    "SELECT coalesce((SELECT min(seq) FROM event WHERE time >= $1), (SELECT max(seq) FROM event), 0)";
const CHECK_SQL: &str = "\
SELECT seq, id::text, tenant, body, time, kind, action, account, correlation, outcome, closes::text
FROM event WHERE seq > $1 ORDER BY seq LIMIT $2";
const BATCHES_SQL: &str = "\
SELECT first, last, after, tag FROM batch_tag WHERE first > $1 AND first <= $2 ORDER BY first";
const EVENT_SQL: &str = "SELECT seq, id::text, tenant, body FROM event ";

/// Reads from the server, even while other processes write.
#[derive(Clone)]
pub(in crate::store) struct Reader {
    pool: PgPool,
    timeout: Duration,
    reconciled_before: Arc<AtomicI64>,
}

/// A connection of the pool, which is closed if its query is cancelled.
struct Checkout(Option<PoolConnection<Postgres>>);

// === impl Reader ===

impl Reader {
    /// Opens the store read-only, with a long time limit.
    ///
    /// # Errors
    ///
    /// [`OpenError`], whose message says what to do.
    pub(in crate::store) async fn open(url: &str) -> Result<Self, OpenError> {
        let server = Server::new(url)?;
        // Reports a problem of the server at once.
        drop(server.session(PoolKind::Read).await.map_err(|error| server.error_for(error))?);
        let pool = server.pool(PoolKind::Read, MAX_CONNECTIONS);
        let reader = Self { pool, timeout: LONG_TIMEOUT, reconciled_before: Arc::default() };
        let probe = sqlx::query("SELECT seq FROM event LIMIT 1").fetch_optional(&reader.pool).await;
        if probe.is_ok() {
            let tags = sqlx::query("SELECT first FROM batch_tag LIMIT 1").fetch_optional(&reader.pool).await;
            if tags.is_err_and(|error| has_code(&error, UNDEFINED_TABLE)) {
                return Err(OpenError::Older { path: server.name() });
            }
        }
        match probe {
            Ok(_) => Ok(reader),
            Err(error) if has_code(&error, UNDEFINED_TABLE) => {
                Err(OpenError::Missing { path: server.name() })
            }
            Err(error) => Err(server.error_for(ConnectError::Failed(error))),
        }
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    pub(super) fn from_server(server: &Server) -> Self {
        let pool = server.pool(PoolKind::ReadWrite, MAX_CONNECTIONS);
        Self { pool, timeout: TIMEOUT, reconciled_before: Arc::default() }
    }

    /// The same reader with another time limit.
    pub(super) fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// All rows of a query. What the statement writes is durable when this returns.
    pub(super) async fn fetch(
        &self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Unavailable> {
        let read = time::timeout(self.timeout, async {
            let mut checked_out = Checkout(Some(self.pool.acquire().await?));
            let Some(connection) = checked_out.0.as_deref_mut() else { return Err(timed_out()) };
            let rows = query.fetch_all(connection).await;
            drop(checked_out.0.take());
            rows
        });
        read.await.unwrap_or_else(|_elapsed| Err(timed_out())).map_err(unavailable)
    }

    /// Runs `work` in a transaction, which is committed if it returns a result. What it writes is durable when
    /// this returns.
    pub(super) async fn transaction<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<Option<T>, sqlx::Error>,
    ) -> Result<Option<T>, Unavailable> {
        let done = time::timeout(self.timeout, async {
            let mut transaction = self.pool.begin().await?;
            let done = work(&mut transaction).await?;
            if done.is_some() {
                transaction.commit().await?;
            } else {
                transaction.rollback().await?;
            }
            Ok(done)
        });
        done.await.unwrap_or_else(|_elapsed| Err(timed_out())).map_err(unavailable)
    }

    async fn events(&self, query: Query<'_, Postgres, PgArguments>) -> Result<Vec<StoredEvent>, Unavailable> {
        self.fetch(query).await?.iter().map(stored).collect()
    }

    /// The sequence number before which this process found every intent closed.
    pub(super) fn reconciled(&self) -> i64 {
        self.reconciled_before.load(Ordering::Relaxed)
    }
}

impl Database for Reader {
    type Row = PgRow;

    async fn rows(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<PgRow>, Unavailable> {
        self.fetch(bind_all!(sqlx::query(sql), params)).await
    }
}

#[async_trait]
impl EventReader for Reader {
    async fn list(
        &self,
        filter: &EventFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        let mut query = QueryBuilder::<Postgres>::new(EVENT_SQL);
        query.push("WHERE seq < ").push_bind(before.map_or(i64::MAX, to_i64));
        push_filter(&mut query, filter);
        query.push(" ORDER BY seq DESC LIMIT ").push_bind(i64::from(limit));
        self.events(query.build()).await
    }

    async fn next(
        &self,
        filter: &EventFilter,
        through: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        let mut query = QueryBuilder::<Postgres>::new(EVENT_SQL);
        query.push("WHERE seq <= ").push_bind(to_i64(through));
        push_filter(&mut query, filter);
        query.push(" ORDER BY seq LIMIT ").push_bind(i64::from(limit));
        self.events(query.build()).await
    }

    async fn after(&self, seq: u64, limit: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        let query =
            sqlx::query("SELECT seq, id::text, tenant, body FROM event WHERE seq > $1 ORDER BY seq LIMIT $2");
        self.events(query.bind(to_i64(seq)).bind(i64::from(limit))).await
    }

    async fn index_check(&self, seq: u64, limit: u32) -> Result<Vec<IndexCheckedEvent>, Unavailable> {
        let query = sqlx::query(CHECK_SQL).bind(to_i64(seq)).bind(i64::from(limit));
        self.fetch(query).await?.iter().map(checked).collect()
    }

    async fn open_intents(&self, before: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        let from = self.reconciled();
        let next = self.fetch(sqlx::query(NEXT_START_SQL).bind(before.as_micros())).await?;
        let next = next.first().map(|row| row.required_number(0)).transpose()?.unwrap_or_default();
        let open = self.events(sqlx::query(OPEN_INTENTS_SQL).bind(before.as_micros()).bind(from)).await?;
        let reconciled = open.first().map_or(next, |oldest| to_i64(oldest.seq));
        self.reconciled_before.fetch_max(reconciled, Ordering::Relaxed);
        Ok(open)
    }

    async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        let query = sqlx::query("SELECT seq, id::text, tenant, body FROM event WHERE id = $1::uuid");
        Ok(self.events(query.bind(id.to_string())).await?.pop())
    }

    async fn batches(&self, after: u64, through: u64) -> Result<Vec<StoredBatch>, Unavailable> {
        tree_rows::batches(self, BATCHES_SQL, after, through).await
    }

    async fn count_misplaced(&self) -> Result<u64, Unavailable> {
        tree_rows::count_misplaced(self).await
    }
}

/// Adds a condition for each field of the filter that is set.
fn push_filter(query: &mut QueryBuilder<Postgres>, filter: &EventFilter) {
    let EventFilter {
        tenant,
        since,
        until,
        action,
        outcome,
        correlation,
        subject,
        resource,
        after,
        kind,
        closes,
    } = filter;
    if let Some(after) = after {
        query.push(" AND seq > ").push_bind(to_i64(*after));
    }
    if let Some(tenant) = tenant {
        query.push(" AND tenant = ").push_bind(tenant.as_str().to_owned());
    }
    if let Some(since) = since {
        query.push(" AND time >= ").push_bind(since.as_micros());
    }
    if let Some(until) = until {
        query.push(" AND time < ").push_bind(until.as_micros());
    }
    let texts = [
        (" AND action = ", action),
        (" AND outcome = ", outcome),
        (" AND correlation = ", correlation),
        (concat!(" AND body::json #>> '", pg_json_path!(subject), "' = "), subject),
        (concat!(" AND body::json #>> '", pg_json_path!(resource), "' = "), resource),
    ];
    if let Some(kind) = kind {
        query.push(" AND kind = ").push_bind(*kind);
    }
    if let Some(closes) = closes {
        query.push(" AND closes = ").push_bind(closes.to_string()).push("::uuid");
    }
    for (condition, text) in texts {
        if let Some(text) = text {
            query.push(condition).push_bind(text.clone());
        }
    }
}

fn stored(row: &PgRow) -> Result<StoredEvent, Unavailable> {
    Ok(StoredEvent {
        seq: row.unsigned(0)?,
        id: row.required_event_id(1)?,
        tenant: row.text(2)?.map(str::to_owned),
        body: row.required_text(3)?.to_owned(),
    })
}

fn checked(row: &PgRow) -> Result<IndexCheckedEvent, Unavailable> {
    let event = stored(row)?;
    let Some(fields) = EventFields::parse(&event.body) else {
        return Ok(IndexCheckedEvent { event, mismatches: vec![PARSE_ERROR] });
    };
    let mismatches = event_fields::mismatches([
        ("id", fields.id() != Some(event.id)),
        ("tenant", fields.tenant() != event.tenant.as_deref()),
        ("time", fields.time().as_micros() != row.required_number(4)?),
        ("kind", fields.kind() != row.required_text(5)?),
        ("action", fields.action() != row.required_text(6)?),
        ("account", fields.account() != row.text(7)?),
        ("correlation", fields.correlation() != row.required_text(8)?),
        ("outcome", fields.outcome() != row.text(9)?),
        ("closes", fields.closes() != row.text(10)?),
    ]);
    Ok(IndexCheckedEvent { event, mismatches })
}

// === impl Checkout ===

impl Drop for Checkout {
    fn drop(&mut self) {
        // The next user of the connection would have to wait for the rows of the cancelled query.
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}
