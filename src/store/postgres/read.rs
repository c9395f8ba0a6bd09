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
        columns::{Columns as _, garbled},
        said::{self, Said, UNREADABLE},
    },
    code,
    server::{NoSession, Purpose, Server, timed_out},
    write::unavailable,
};
use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{Checked, EventFilter, EventReader, StoredEvent, Unavailable},
};

/// How many questions are asked at once.
const READERS: u32 = 6;
/// How long a call waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long someone waits who reads the whole log.
const LONG_PATIENCE: Duration = Duration::from_mins(5);

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
const NOT_ASKED_FOR: &str =
    "SELECT coalesce((SELECT min(seq) FROM event WHERE time >= $1), (SELECT max(seq) FROM event), 0)";
const CHECKED: &str = "\
SELECT seq, id::text, tenant, body, time, kind, action, account, correlation, outcome, closes::text
FROM event WHERE seq > $1 ORDER BY seq LIMIT $2";
const EVENT: &str = "SELECT seq, id::text, tenant, body FROM event ";

/// Asks the server, also while others write.
#[derive(Clone)]
pub(in crate::store) struct Reader {
    pool: PgPool,
    patience: Duration,
    settled_before: Arc<AtomicI64>,
}

/// A connection of the pool: ended where its question is not waited for to its end.
struct Lent(Option<PoolConnection<Postgres>>);

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
        drop(server.session(Purpose::Read).await.map_err(|error| server.refused(error))?);
        let pool = server.pool(Purpose::Read, READERS);
        let reader = Self { pool, patience: LONG_PATIENCE, settled_before: Arc::default() };
        let looked = sqlx::query("SELECT seq FROM event LIMIT 1").fetch_optional(&reader.pool).await;
        match looked {
            Ok(_) => Ok(reader),
            Err(error) if code::is(&error, code::UNDEFINED_TABLE) => {
                Err(OpenError::Missing { path: server.name() })
            }
            Err(error) => Err(server.refused(NoSession::Failed(error))),
        }
    }

    pub(super) fn beside(server: &Server) -> Self {
        let pool = server.pool(Purpose::Beside, READERS);
        Self { pool, patience: PATIENCE, settled_before: Arc::default() }
    }

    /// All rows of an answer; where a statement writes, it is durable when this returns.
    pub(super) async fn rows(
        &self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Unavailable> {
        self.rows_within(self.patience, query).await
    }

    /// The same where a late answer is as good as none.
    pub(super) async fn rows_within(
        &self,
        patience: Duration,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Unavailable> {
        let asked = time::timeout(patience, async {
            let mut lent = Lent(Some(self.pool.acquire().await?));
            let Some(connection) = lent.0.as_deref_mut() else { return Err(timed_out()) };
            let rows = query.fetch_all(connection).await;
            drop(lent.0.take());
            rows
        });
        asked.await.unwrap_or_else(|_elapsed| Err(timed_out())).map_err(unavailable)
    }

    async fn events(&self, query: Query<'_, Postgres, PgArguments>) -> Result<Vec<StoredEvent>, Unavailable> {
        self.rows(query).await?.iter().map(stored).collect()
    }

    /// The place before which nothing was open when this process looked.
    pub(super) fn settled(&self) -> i64 {
        self.settled_before.load(Ordering::Relaxed)
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
        narrow(&mut query, filter);
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
        narrow(&mut query, filter);
        query.push(" ORDER BY seq LIMIT ").push_bind(i64::from(limit));
        self.events(query.build()).await
    }

    async fn after(&self, seq: u64, limit: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        let query =
            sqlx::query("SELECT seq, id::text, tenant, body FROM event WHERE seq > $1 ORDER BY seq LIMIT $2");
        self.events(query.bind(signed(seq)).bind(i64::from(limit))).await
    }

    async fn checked(&self, seq: u64, limit: u32) -> Result<Vec<Checked>, Unavailable> {
        let query = sqlx::query(CHECKED).bind(signed(seq)).bind(i64::from(limit));
        self.rows(query).await?.iter().map(checked).collect()
    }

    async fn unsettled(&self, before: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        let from = self.settled();
        let next = self.rows(sqlx::query(NOT_ASKED_FOR).bind(before.as_micros())).await?;
        let next = next.first().map(|row| row.some_number(0)).transpose()?.unwrap_or_default();
        let open = self.events(sqlx::query(UNSETTLED).bind(before.as_micros()).bind(from)).await?;
        let settled = open.first().map_or(next, |oldest| signed(oldest.seq));
        self.settled_before.fetch_max(settled, Ordering::Relaxed);
        Ok(open)
    }

    async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        let query = sqlx::query("SELECT seq, id::text, tenant, body FROM event WHERE id = $1::uuid");
        Ok(self.events(query.bind(id.to_string())).await?.pop())
    }
}

/// Adds a condition for each part of the filter that is there.
fn narrow(query: &mut QueryBuilder<Postgres>, filter: &EventFilter) {
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
        seq: u64::try_from(row.some_number(0)?).map_err(garbled::<PgRow>)?,
        id: event_id(row.some_text(1)?)?,
        tenant: row.text(2)?.map(str::to_owned),
        body: row.some_text(3)?.to_owned(),
    })
}

fn checked(row: &PgRow) -> Result<Checked, Unavailable> {
    let event = stored(row)?;
    let Some(said) = Said::of(&event.body) else { return Ok(Checked { event, wrong: vec![UNREADABLE] }) };
    let wrong = said::wrong([
        ("id", said.id() != Some(event.id)),
        ("tenant", said.tenant() != event.tenant.as_deref()),
        ("time", said.time().as_micros() != row.some_number(4)?),
        ("kind", said.kind() != row.some_text(5)?),
        ("action", said.action() != row.some_text(6)?),
        ("account", said.account() != row.text(7)?),
        ("correlation", said.correlation() != row.some_text(8)?),
        ("outcome", said.outcome() != row.text(9)?),
        ("closes", said.closes() != row.text(10)?),
    ]);
    Ok(Checked { event, wrong })
}

pub(super) fn event_id(text: &str) -> Result<EventId, Unavailable> {
    text.parse::<Uuid>().map(EventId).map_err(garbled::<PgRow>)
}

/// As PostgreSQL counts; what is beyond is nowhere.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

// === impl Lent ===

impl Drop for Lent {
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
