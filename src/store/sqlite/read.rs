//! Reads the log by filter, by sequence number and by id.

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
    error::failed,
    fields::body,
    file,
    select::{self, Order},
    wal::ReadGate,
    write,
};
use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{EventFilter, EventReader, IndexCheckedEvent, StoredBatch, StoredEvent, Unavailable},
    store::{
        columns::{Columns as _, to_i64},
        database::{Database, Param, bind_all},
        error::OpenError,
        event_fields::{self, EventFields, PARSE_ERROR},
        tree_rows,
    },
};

/// The maximum number of concurrent reads.
const MAX_CONNECTIONS: u32 = 4;
/// How many rows SQLite's thread reads ahead of the consumer. A large number makes switches between the two
/// rare.
const ROWS_AHEAD: usize = 1024;
/// Selects the open intents. It searches only from the position before which every intent is closed.
const OPEN_INTENTS_SQL: &str = concat!(
    "\
WITH recent AS (SELECT max(value, $2) AS first FROM fact WHERE name = 'settled_before'),
said AS MATERIALIZED (
    SELECT seq, ",
    body!(kind),
    " AS kind, ",
    body!(id),
    " AS id,
           ",
    body!(closes),
    " AS closes, ",
    body!(status_code),
    " AS status,
           coalesce(",
    body!(time_us),
    ", (",
    body!(time),
    ") * 1000) AS time
    FROM event, recent WHERE seq >= first AND json_valid(body) AND (kind = 'intent' OR closes IS NOT NULL)),
closed AS MATERIALIZED (
    SELECT closes FROM said
    WHERE closes IS NOT NULL AND (kind = 'settled' OR status IS NOT 'OUTCOME_UNKNOWN'))
SELECT event.seq, event.body FROM said JOIN event ON event.seq = said.seq
WHERE said.kind = 'intent' AND said.time < $1 AND said.id NOT IN (SELECT closes FROM closed)
ORDER BY event.seq"
);

/// Selects the position where the next such search can begin if this one finds no open intent: the first
/// batch that reaches beyond the searched time. An intent is committed long before it is searched for, so
/// none is added before that position.
const NEXT_START_SQL: &str = "\
SELECT coalesce(
    (SELECT first FROM batch
     WHERE first >= coalesce((SELECT max(first) FROM batch WHERE first <= $2), 0) AND until >= $1
     ORDER BY first LIMIT 1),
    (SELECT max(seq) FROM event), 0)";

/// Selects each event with its batch and checks the index: whether the batch is listed for the event's tenant
/// and call, whether the previous batch overlaps this one, and, for the newest event, whether a batch begins
/// after it and after the newest checkpoint.
const CHECK_SQL: &str = concat!("\
SELECT event.seq, event.body, since, until, least, most,
    json_valid(body) AND EXISTS (
        SELECT 1 FROM batch_of_tenant AS of
        WHERE of.tenant = ", body!(tenant), " AND of.first = batch.first),
    json_valid(body) AND EXISTS (
        SELECT 1 FROM batch_of_call AS of
        WHERE of.correlation = ", body!(correlation), " AND of.first = batch.first),
    EXISTS (
        SELECT 1 FROM batch AS before
        WHERE before.first = (SELECT max(first) FROM batch AS b WHERE b.first < batch.first)
        AND before.last >= batch.first)
    OR event.seq = (SELECT max(seq) FROM event)
        AND EXISTS (SELECT 1 FROM batch WHERE first > max(event.seq, (SELECT coalesce(max(size), 0) FROM checkpoint)))
FROM event LEFT JOIN batch
    ON batch.first = (SELECT max(first) FROM batch WHERE first <= event.seq) AND batch.last >= event.seq
WHERE event.seq > $1 ORDER BY event.seq LIMIT $2");

/// Selects the batches that begin in a range.
const BATCHES_SQL: &str = "\
SELECT first, last, coalesce(after, 0), coalesce(tag, x'') FROM batch
WHERE first > $1 AND first <= $2 ORDER BY first";

/// Reads the store, even while another process writes to it.
#[derive(Clone)]
pub(in crate::store) struct Reader {
    pool: SqlitePool,
    pub(super) gate: Arc<ReadGate>,
    /// The sequence number before which this process found every intent closed. With it, only the first
    /// search reads the whole log.
    reconciled_before: Arc<AtomicI64>,
}

// === impl Reader ===

impl Reader {
    /// Opens an existing file read-only.
    ///
    /// # Errors
    ///
    /// [`OpenError`], whose message says what to do.
    pub(in crate::store) async fn open(url: &str) -> Result<Self, OpenError> {
        let path = file::path(url)?;
        if !path.exists() {
            return Err(OpenError::Missing { path });
        }
        let reader = Self::from_options(SqliteConnectOptions::new().filename(&path).read_only(true));
        file::readable(&reader.pool, &path).await?;
        Ok(reader)
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    pub(super) fn from_options(options: SqliteConnectOptions) -> Self {
        let options = options.pragma("query_only", "ON").row_buffer_size(ROWS_AHEAD);
        // A connection to a file does not break while it is idle, so it needs no test before its use.
        let pool = SqlitePoolOptions::new().max_connections(MAX_CONNECTIONS).test_before_acquire(false);
        let gate: Arc<ReadGate> = Arc::default();
        let watched = Arc::clone(&gate);
        let pool = pool.after_connect(move |connection, _| {
            let gate = Arc::clone(&watched);
            Box::pin(async move { gate.watch(connection).await })
        });
        Self { pool: pool.connect_lazy_with(options), gate, reconciled_before: Arc::default() }
    }

    /// All rows of a query. Every read goes through here.
    async fn fetch(&self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<Vec<SqliteRow>, Unavailable> {
        let _read = self.gate.begin_read().await;
        query.fetch_all(&self.pool).await.map_err(failed)
    }

    async fn events(
        &self,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        self.fetch(query).await?.iter().map(stored).collect()
    }

    /// The sequence number before which this process found every intent closed.
    pub(super) fn reconciled(&self) -> i64 {
        self.reconciled_before.load(Ordering::Relaxed)
    }
}

impl Database for Reader {
    type Row = SqliteRow;

    async fn rows(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<SqliteRow>, Unavailable> {
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
        self.events(query.bind(to_i64(seq)).bind(i64::from(limit))).await
    }

    async fn index_check(&self, seq: u64, limit: u32) -> Result<Vec<IndexCheckedEvent>, Unavailable> {
        let query = sqlx::query(CHECK_SQL).bind(to_i64(seq)).bind(i64::from(limit));
        self.fetch(query).await?.iter().map(checked).collect()
    }

    async fn open_intents(&self, before: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        let from = self.reconciled();
        let next = self.fetch(sqlx::query(NEXT_START_SQL).bind(before.as_micros()).bind(from)).await?;
        let next = next.first().map_or(Ok(0), |row| row.required_number(0))?;
        let open = self.events(sqlx::query(OPEN_INTENTS_SQL).bind(before.as_micros()).bind(from)).await?;
        let reconciled = open.first().map_or(next, |oldest| to_i64(oldest.seq));
        self.reconciled_before.fetch_max(reconciled, Ordering::Relaxed);
        Ok(open)
    }

    async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        Ok(self.events(write::find(id)).await?.pop())
    }

    async fn batches(&self, after: u64, through: u64) -> Result<Vec<StoredBatch>, Unavailable> {
        tree_rows::batches(self, BATCHES_SQL, after, through).await
    }

    async fn count_misplaced(&self) -> Result<u64, Unavailable> {
        tree_rows::count_misplaced(self).await
    }
}

fn stored(row: &SqliteRow) -> Result<StoredEvent, Unavailable> {
    let body = row.lossy_text(1)?;
    let (id, tenant) = event_fields::tenant_of(&body);
    Ok(StoredEvent { seq: row.unsigned(0)?, id, tenant, body })
}

fn checked(row: &SqliteRow) -> Result<IndexCheckedEvent, Unavailable> {
    let (seq, body) = (row.unsigned(0)?, row.lossy_text(1)?);
    let Some(fields) = EventFields::parse(&body) else {
        return Ok(IndexCheckedEvent { event: stored(row)?, mismatches: vec![PARSE_ERROR] });
    };
    let id = fields.id();
    let bytes = id.map(write::blob).unwrap_or_default();
    let (min, max): (Option<&[u8]>, Option<&[u8]>) =
        (row.try_get(4).map_err(failed)?, row.try_get(5).map_err(failed)?);
    let within = (row.number(2)?..=row.number(3)?).contains(&Some(fields.time().as_micros()));
    let mismatches = event_fields::mismatches([
        ("id", !(min..=max).contains(&Some(&*bytes))),
        ("tenant", fields.tenant().is_some() && row.required_number(6)? == 0),
        ("time", !within),
        ("correlation", row.required_number(7)? == 0),
        ("place", row.required_number(8)? != 0),
    ]);
    let tenant = fields.tenant().map(str::to_owned);
    let id = id.unwrap_or(EventId(uuid::Uuid::nil()));
    Ok(IndexCheckedEvent { event: StoredEvent { seq, id, tenant, body }, mismatches })
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}
