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
    Row as _, Sqlite, SqlitePool,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqlitePoolOptions, SqliteRow},
};

use super::{
    super::{
        OpenError,
        columns::Columns as _,
        said::{self, Said, UNREADABLE},
    },
    file,
    select::{self, Order},
    write,
};
use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{Checked, EventFilter, EventReader, StoredEvent, Unavailable},
};

/// How many reads run at once.
const READERS: u32 = 4;
/// How many rows SQLite's thread reads ahead of whoever takes them: so that the two change places seldom.
const ROWS_AHEAD: usize = 1024;
/// What closes an intent is looked for among the events since the one before which all are settled.
const UNSETTLED: &str = "\
WITH recent AS (SELECT max(value, $2) AS first FROM fact WHERE name = 'settled_before'),
said AS MATERIALIZED (
    SELECT seq, body ->> '$.metadata.event_code' AS kind, body ->> '$.metadata.uid' AS id,
           body ->> '$.unmapped.logkey.closes' AS closes, body ->> '$.status_code' AS status,
           coalesce(body ->> '$.unmapped.logkey.time_us', (body ->> '$.time') * 1000) AS time
    FROM event, recent WHERE seq >= first AND json_valid(body) AND (kind = 'intent' OR closes IS NOT NULL)),
closed AS MATERIALIZED (
    SELECT closes FROM said
    WHERE closes IS NOT NULL AND (kind = 'settled' OR status IS NOT 'OUTCOME_UNKNOWN'))
SELECT event.seq, event.body FROM said JOIN event ON event.seq = said.seq
WHERE said.kind = 'intent' AND said.time < $1 AND said.id NOT IN (SELECT closes FROM closed)
ORDER BY event.seq";

/// Where the next such look can begin where this one found nothing open: at the first events that it was
/// not all about. An intent is committed long before it is asked for, so that none comes in before those.
const NOT_ASKED_FOR: &str = "\
SELECT coalesce(
    (SELECT first FROM batch
     WHERE first >= coalesce((SELECT max(first) FROM batch WHERE first <= $2), 0) AND until >= $1
     ORDER BY first LIMIT 1),
    (SELECT max(seq) FROM event), 0)";

/// Each event with its batch, and whether that leads to it; whether another batch reaches into that one, and
/// of the newest event, whether one begins behind it and behind all that is signed.
const CHECKED: &str = "\
SELECT event.seq, event.body, since, until, least, most,
    json_valid(body) AND EXISTS (
        SELECT 1 FROM batch_of_tenant AS of
        WHERE of.tenant = body ->> '$.metadata.tenant_uid' AND of.first = batch.first),
    json_valid(body) AND EXISTS (
        SELECT 1 FROM batch_of_call AS of
        WHERE of.correlation = body ->> '$.metadata.correlation_uid' AND of.first = batch.first),
    EXISTS (
        SELECT 1 FROM batch AS before
        WHERE before.first = (SELECT max(first) FROM batch AS b WHERE b.first < batch.first)
        AND before.last >= batch.first)
    OR event.seq = (SELECT max(seq) FROM event)
        AND EXISTS (SELECT 1 FROM batch WHERE first > max(event.seq, (SELECT coalesce(max(size), 0) FROM checkpoint)))
FROM event LEFT JOIN batch
    ON batch.first = (SELECT max(first) FROM batch WHERE first <= event.seq) AND batch.last >= event.seq
WHERE event.seq > $1 ORDER BY event.seq LIMIT $2";

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
        file::readable(&reader.pool, &path).await?;
        Ok(reader)
    }

    pub(super) fn over(options: SqliteConnectOptions) -> Self {
        let options = options.pragma("query_only", "ON").row_buffer_size(ROWS_AHEAD);
        // A file is not gone while nobody looks: no question is asked twice for fear of that.
        let pool = SqlitePoolOptions::new().max_connections(READERS).test_before_acquire(false);
        let pool = pool.connect_lazy_with(options);
        Self { pool, settled_before: Arc::default() }
    }

    async fn events(
        &self,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        query.fetch_all(&self.pool).await.map_err(failed)?.iter().map(stored).collect()
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
        let order = Order::NewestFirst { before: before.unwrap_or(u64::MAX) };
        self.events(select::events(filter, order, limit).build()).await
    }

    async fn next(
        &self,
        filter: &EventFilter,
        through: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        self.events(select::events(filter, Order::OldestFirst { through }, limit).build()).await
    }

    async fn after(&self, seq: u64, limit: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        let query = sqlx::query("SELECT seq, body FROM event WHERE seq > $1 ORDER BY seq LIMIT $2");
        self.events(query.bind(signed(seq)).bind(i64::from(limit))).await
    }

    async fn checked(&self, seq: u64, limit: u32) -> Result<Vec<Checked>, Unavailable> {
        let query = sqlx::query(CHECKED).bind(signed(seq)).bind(i64::from(limit));
        query.fetch_all(&self.pool).await.map_err(failed)?.iter().map(checked).collect()
    }

    async fn unsettled(&self, before: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        let from = self.settled();
        let next: i64 = sqlx::query_scalar(NOT_ASKED_FOR)
            .bind(before.as_micros())
            .bind(from)
            .fetch_one(&self.pool)
            .await
            .map_err(failed)?;
        let open = self.events(sqlx::query(UNSETTLED).bind(before.as_micros()).bind(from)).await?;
        let settled = open.first().map_or(next, |oldest| signed(oldest.seq));
        self.settled_before.fetch_max(settled, Ordering::Relaxed);
        Ok(open)
    }

    async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        Ok(self.events(write::find(id)).await?.pop())
    }
}

fn stored(row: &SqliteRow) -> Result<StoredEvent, Unavailable> {
    let body = row.some_text(1)?.to_owned();
    let (id, tenant) = said::whose(&body);
    Ok(StoredEvent { seq: u64::try_from(row.some_number(0)?).map_err(garbled)?, id, tenant, body })
}

fn checked(row: &SqliteRow) -> Result<Checked, Unavailable> {
    let (seq, body) = (u64::try_from(row.some_number(0)?).map_err(garbled)?, row.some_text(1)?.to_owned());
    let Some(said) = Said::of(&body) else {
        return Ok(Checked { event: stored(row)?, wrong: vec![UNREADABLE] });
    };
    let id = said.id();
    let bytes = id.map(write::blob).unwrap_or_default();
    let (least, most): (Option<&[u8]>, Option<&[u8]>) =
        (row.try_get(4).map_err(failed)?, row.try_get(5).map_err(failed)?);
    let within = (row.number(2)?..=row.number(3)?).contains(&Some(said.time().as_micros()));
    let wrong = said::wrong([
        ("id", !(least..=most).contains(&Some(&*bytes))),
        ("tenant", said.tenant().is_some() && row.some_number(6)? == 0),
        ("time", !within),
        ("correlation", row.some_number(7)? == 0),
        ("place", row.some_number(8)? != 0),
    ]);
    let tenant = said.tenant().map(str::to_owned);
    let id = id.unwrap_or(EventId(uuid::Uuid::nil()));
    Ok(Checked { event: StoredEvent { seq, id, tenant, body }, wrong })
}

/// As SQLite counts; what is beyond is nowhere.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
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
