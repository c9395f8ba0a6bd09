//! Reading: the log by filter, by place and by id, and the latest associations.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use sqlx::{
    QueryBuilder, Row as _, Sqlite, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow},
};
use uuid::Uuid;

use super::{super::OpenError, file, write};
use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{EventFilter, EventReader, Labelled, StoredEvent, Unavailable},
};

/// How many reads run at once.
const READERS: u32 = 4;
/// How many rows SQLite's thread reads ahead of whoever takes them: so that the two change places seldom.
const ROWS_AHEAD: usize = 1024;
/// What closes an intent is looked for among the events since the one before which all are settled.
const UNSETTLED: &str = "\
WITH recent AS (SELECT max(value, $2) AS first FROM fact WHERE name = 'settled_before'),
closed AS MATERIALIZED (
    SELECT closes FROM event, recent
    WHERE seq >= first AND closes IS NOT NULL AND (kind = 'settled' OR outcome IS NOT 'OUTCOME_UNKNOWN'))
SELECT seq, id, tenant, body FROM event, recent
WHERE seq >= first AND kind = 'intent' AND time < $1 AND id NOT IN (SELECT closes FROM closed)
ORDER BY seq";

/// Events with every column by which they are found.
const LABELLED: &str = "\
SELECT seq, id, tenant, body, time, kind, action, account, correlation, outcome, closes
FROM event WHERE seq > $1 ORDER BY seq LIMIT $2";

/// Where the next such look can begin where this one found nothing open: at the first event that it was
/// not about. An intent is committed long before it is asked for, so that none comes in before that one.
const NOT_ASKED_FOR: &str =
    "SELECT coalesce((SELECT min(seq) FROM event WHERE time >= $1), (SELECT max(seq) FROM event), 0)";

/// Reads the store, also while another process writes it.
#[derive(Clone)]
pub struct Reader {
    pub(super) pool: SqlitePool,
    /// The place in the log before which nothing was open when this process looked: the whole log is
    /// read for that once, and not again at each look.
    settled_before: Arc<AtomicI64>,
}

// === impl Reader ===

impl Reader {
    /// Opens an existing file.
    ///
    /// # Errors
    ///
    /// [`OpenError`], with what to do.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let path = file::path(url)?;
        if !path.exists() {
            return Err(OpenError::Missing { path });
        }
        let reader = Self::over(SqliteConnectOptions::new().filename(&path).read_only(true));
        sqlx::query("SELECT seq FROM event LIMIT 1")
            .fetch_optional(&reader.pool)
            .await
            .map_err(|source| file::classify(&path, source))?;
        Ok(reader)
    }

    pub(super) fn over(options: SqliteConnectOptions) -> Self {
        let options = options.pragma("query_only", "ON").row_buffer_size(ROWS_AHEAD);
        let pool = SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options);
        Self { pool, settled_before: Arc::default() }
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
        let mut query = QueryBuilder::<Sqlite>::new("SELECT seq, id, tenant, body FROM event WHERE seq < ");
        query.push_bind(before.and_then(|seq| i64::try_from(seq).ok()).unwrap_or(i64::MAX));
        narrow(&mut query, filter);
        query.push(" ORDER BY seq DESC LIMIT ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(stored).collect()
    }

    async fn next(
        &self,
        filter: &EventFilter,
        through: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT seq, id, tenant, body FROM event WHERE seq <= ");
        query.push_bind(i64::try_from(through).unwrap_or(i64::MAX));
        narrow(&mut query, filter);
        query.push(" ORDER BY seq LIMIT ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(stored).collect()
    }

    async fn after(&self, seq: u64, limit: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        let rows =
            sqlx::query("SELECT seq, id, tenant, body FROM event WHERE seq > $1 ORDER BY seq LIMIT $2")
                .bind(i64::try_from(seq).unwrap_or(i64::MAX))
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await
                .map_err(failed)?;
        rows.iter().map(stored).collect()
    }

    async fn labelled(&self, seq: u64, limit: u32) -> Result<Vec<Labelled>, Unavailable> {
        let rows = sqlx::query(LABELLED)
            .bind(i64::try_from(seq).unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        rows.iter().map(labelled).collect()
    }

    async fn unsettled(&self, before: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        let from = self.settled_before.load(Ordering::Relaxed);
        let next: i64 = sqlx::query_scalar(NOT_ASKED_FOR)
            .bind(before.as_micros())
            .fetch_one(&self.pool)
            .await
            .map_err(failed)?;
        let rows = sqlx::query(UNSETTLED)
            .bind(before.as_micros())
            .bind(from)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        let oldest_open = rows.first().map(|row| row.try_get("seq")).transpose().map_err(failed)?;
        self.settled_before.fetch_max(oldest_open.unwrap_or(next), Ordering::Relaxed);
        rows.iter().map(stored).collect()
    }

    async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        let row = sqlx::query("SELECT seq, id, tenant, body FROM event WHERE id = $1")
            .bind(id.0.as_bytes().as_slice())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        row.as_ref().map(stored).transpose()
    }
}

/// Adds a condition for each part of the filter that is there.
fn narrow(query: &mut QueryBuilder<Sqlite>, filter: &EventFilter) {
    let EventFilter { tenant, since, until, action, outcome, correlation, subject, resource, after } = filter;
    if let Some(after) = after {
        query.push(" AND seq > ").push_bind(i64::try_from(*after).unwrap_or(i64::MAX));
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
        (" AND body ->> '$.actor.user.uid' = ", subject),
        (" AND body ->> '$.resources[0].uid' = ", resource),
    ];
    for (condition, text) in texts {
        if let Some(text) = text {
            query.push(condition).push_bind(text.clone());
        }
    }
}

fn stored(row: &SqliteRow) -> Result<StoredEvent, Unavailable> {
    let seq: i64 = row.try_get(0).map_err(failed)?;
    let id: &[u8] = row.try_get(1).map_err(failed)?;
    Ok(StoredEvent {
        seq: u64::try_from(seq).map_err(garbled)?,
        id: EventId(Uuid::from_slice(id).map_err(garbled)?),
        tenant: row.try_get(2).map_err(failed)?,
        body: row.try_get(3).map_err(failed)?,
    })
}

fn labelled(row: &SqliteRow) -> Result<Labelled, Unavailable> {
    let closes: Option<&[u8]> = row.try_get(10).map_err(failed)?;
    let closes = closes.map(Uuid::from_slice).transpose().map_err(garbled)?;
    Ok(Labelled {
        event: stored(row)?,
        time: Timestamp::from_micros(row.try_get(4).map_err(failed)?),
        kind: row.try_get(5).map_err(failed)?,
        action: row.try_get(6).map_err(failed)?,
        account: row.try_get(7).map_err(failed)?,
        correlation: row.try_get(8).map_err(failed)?,
        outcome: row.try_get(9).map_err(failed)?,
        closes: closes.map(EventId),
    })
}

pub(super) fn failed(source: sqlx::Error) -> Unavailable {
    write::unavailable(Some(source))
}

pub(super) fn garbled(source: impl std::error::Error + Send + Sync + 'static) -> Unavailable {
    Unavailable { dependency: "sqlite", source: Some(Box::new(source)) }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}
