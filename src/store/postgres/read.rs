//! Reading: the log by filter, by place and by id. No question is waited for without an end.

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
    PgPool, Postgres, QueryBuilder,
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use tokio::time;
use uuid::Uuid;

use super::{
    super::{
        OpenError,
        columns::{Columns as _, corrupt_row},
        event_fields::{self, EventFields, PARSE_ERROR},
    },
    code,
    server::{ConnectError, PoolKind, Server, timed_out},
    write::unavailable,
};
use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{EventFilter, EventReader, IndexCheckedEvent, StoredEvent, Unavailable},
};

/// How many questions are asked at once.
const READERS: u32 = 6;
/// How long a call waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long someone waits who reads the whole log.
const LONG_TIMEOUT: Duration = Duration::from_mins(5);

/// What closes an intent is looked for among the events since the one before which all are settled.
const UNSETTLED: &str = "\
WITH recent AS MATERIALIZED (
    SELECT seq, id, time, kind, outcome, closes FROM event
    WHERE seq >= greatest($2, (SELECT value FROM fact WHERE name = 'settled_before'))
      AND (kind = 'intent' OR closes IS NOT NULL))
SELECT event.seq, event.id::text, event.tenant, event.body FROM recent AS intent JOIN event USING (seq)
WHERE intent.kind = 'intent' AND intent.time < $1 AND intent.id NOT IN (
    SELECT closes FROM recent
    WHERE closes IS NOT NULL AND (kind = 'settled' OR outcome IS DISTINCT FROM 'OUTCOME_UNKNOWN'))
ORDER BY event.seq";
/// Where the next such look can begin where this one found nothing open: at the first event that it was
/// not about. What is committed later stands behind it.
const EXCLUDE_SQL: &str =
    "SELECT coalesce((SELECT min(seq) FROM event WHERE time >= $1), (SELECT max(seq) FROM event), 0)";
const CHECKED: &str = "\
SELECT seq, id::text, tenant, body, time, kind, action, account, correlation, outcome, closes::text
FROM event WHERE seq > $1 ORDER BY seq LIMIT $2";
const EVENT: &str = "SELECT seq, id::text, tenant, body FROM event ";

/// Asks the server, also while others write.
#[derive(Clone)]
pub(in crate::store) struct Reader {
    pool: PgPool,
    timeout: Duration,
    reconciled_before: Arc<AtomicI64>,
}

/// A connection of the pool: ended where its question is not waited for to its end.
struct Checkout(Option<PoolConnection<Postgres>>);

// === impl Reader ===

impl Reader {
    /// For reading only, at leisure.
    ///
    /// # Errors
    ///
    /// [`OpenError`], with what to do.
    pub(in crate::store) async fn open(url: &str) -> Result<Self, OpenError> {
        let server = Server::new(url)?;
        // Tells at once what is wrong with the server.
        drop(server.session(PoolKind::Read).await.map_err(|error| server.error_for(error))?);
        let pool = server.pool(PoolKind::Read, READERS);
        let reader = Self { pool, timeout: LONG_TIMEOUT, reconciled_before: Arc::default() };
        let looked = sqlx::query("SELECT seq FROM event LIMIT 1").fetch_optional(&reader.pool).await;
        match looked {
            Ok(_) => Ok(reader),
            Err(error) if code::is(&error, code::UNDEFINED_TABLE) => {
                Err(OpenError::Missing { path: server.name() })
            }
            Err(error) => Err(server.error_for(ConnectError::Failed(error))),
        }
    }

    pub(super) fn from_server(server: &Server) -> Self {
        let pool = server.pool(PoolKind::Beside, READERS);
        Self { pool, timeout: TIMEOUT, reconciled_before: Arc::default() }
    }

    /// All rows of an answer; where a statement writes, it is durable when this returns.
    pub(super) async fn rows(
        &self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Unavailable> {
        self.rows_within(self.timeout, query).await
    }

    /// The same where a late answer is as good as none.
    pub(super) async fn rows_within(
        &self,
        timeout: Duration,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Unavailable> {
        let read = time::timeout(timeout, async {
            let mut checked_out = Checkout(Some(self.pool.acquire().await?));
            let Some(connection) = checked_out.0.as_deref_mut() else { return Err(timed_out()) };
            let rows = query.fetch_all(connection).await;
            drop(checked_out.0.take());
            rows
        });
        read.await.unwrap_or_else(|_elapsed| Err(timed_out())).map_err(unavailable)
    }

    async fn events(&self, query: Query<'_, Postgres, PgArguments>) -> Result<Vec<StoredEvent>, Unavailable> {
        self.rows(query).await?.iter().map(stored).collect()
    }

    /// The place before which nothing was open when this process looked.
    pub(super) fn reconciled(&self) -> i64 {
        self.reconciled_before.load(Ordering::Relaxed)
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
        let mut query = QueryBuilder::<Postgres>::new(EVENT);
        query.push("WHERE seq < ").push_bind(before.map_or(i64::MAX, signed));
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
        let mut query = QueryBuilder::<Postgres>::new(EVENT);
        query.push("WHERE seq <= ").push_bind(signed(through));
        push_filter(&mut query, filter);
        query.push(" ORDER BY seq LIMIT ").push_bind(i64::from(limit));
        self.events(query.build()).await
    }

    async fn after(&self, seq: u64, limit: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        let query =
            sqlx::query("SELECT seq, id::text, tenant, body FROM event WHERE seq > $1 ORDER BY seq LIMIT $2");
        self.events(query.bind(signed(seq)).bind(i64::from(limit))).await
    }

    async fn index_check(&self, seq: u64, limit: u32) -> Result<Vec<IndexCheckedEvent>, Unavailable> {
        let query = sqlx::query(CHECKED).bind(signed(seq)).bind(i64::from(limit));
        self.rows(query).await?.iter().map(checked).collect()
    }

    async fn open_intents(&self, before: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        let from = self.reconciled();
        let next = self.rows(sqlx::query(EXCLUDE_SQL).bind(before.as_micros())).await?;
        let next = next.first().map(|row| row.required_number(0)).transpose()?.unwrap_or_default();
        let open = self.events(sqlx::query(UNSETTLED).bind(before.as_micros()).bind(from)).await?;
        let reconciled = open.first().map_or(next, |oldest| signed(oldest.seq));
        self.reconciled_before.fetch_max(reconciled, Ordering::Relaxed);
        Ok(open)
    }

    async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        let query = sqlx::query("SELECT seq, id::text, tenant, body FROM event WHERE id = $1::uuid");
        Ok(self.events(query.bind(id.to_string())).await?.pop())
    }
}

/// Adds a condition for each part of the filter that is there.
fn push_filter(query: &mut QueryBuilder<Postgres>, filter: &EventFilter) {
    let EventFilter { tenant, since, until, action, outcome, correlation, subject, resource, after } = filter;
    if let Some(after) = after {
        query.push(" AND seq > ").push_bind(signed(*after));
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
        (" AND body::json #>> '{actor,user,uid}' = ", subject),
        (" AND body::json #>> '{resources,0,uid}' = ", resource),
    ];
    for (condition, text) in texts {
        if let Some(text) = text {
            query.push(condition).push_bind(text.clone());
        }
    }
}

fn stored(row: &PgRow) -> Result<StoredEvent, Unavailable> {
    Ok(StoredEvent {
        seq: u64::try_from(row.required_number(0)?).map_err(corrupt_row::<PgRow>)?,
        id: event_id(row.required_text(1)?)?,
        tenant: row.text(2)?.map(str::to_owned),
        body: row.required_text(3)?.to_owned(),
    })
}

fn checked(row: &PgRow) -> Result<IndexCheckedEvent, Unavailable> {
    let event = stored(row)?;
    let Some(fields) = EventFields::parse(&event.body) else {
        return Ok(IndexCheckedEvent { event, mismatches: vec![PARSE_ERROR] });
    };
    let wrong = event_fields::mismatches([
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
    Ok(IndexCheckedEvent { event, mismatches: wrong })
}

pub(super) fn event_id(text: &str) -> Result<EventId, Unavailable> {
    text.parse::<Uuid>().map(EventId).map_err(corrupt_row::<PgRow>)
}

/// As PostgreSQL counts; what is beyond is nowhere.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

// === impl Lent ===

impl Drop for Checkout {
    fn drop(&mut self) {
        // An answer that nobody reads would be waited for by whoever has the connection next.
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
