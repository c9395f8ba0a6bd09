//! Reads the log by filter, by sequence number and by id.

use async_trait::async_trait;
use sqlx::{Sqlite, query::Query, sqlite::SqliteArguments};
use uuid::Uuid;

use super::{
    event_rows, index_check, open_intents,
    read::Reader,
    select::{self, Range},
    write,
};
use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{EventFilter, EventReader, IndexCheckedEvent, StoredBatch, StoredEvent, Unavailable},
    store::{columns::to_i64, tree_rows},
};

/// The number of events of the first statement of a list whose filter needs the events' own bytes. Each further
/// statement reads twice as many.
const FIRST_PAGE: u32 = 128;
/// The maximum number of events of such a statement.
const MAX_PAGE: u32 = 2048;

/// Selects the batches that begin in a range.
const BATCHES_SQL: &str = "\
SELECT first, last, coalesce(after, 0), coalesce(tag, x'') FROM batch
WHERE first > $1 AND first <= $2 ORDER BY first";

/// Selects the events of the batches around the time in an id, $2. The ids of batches almost always increase, so
/// a binary search finds these batches; the table has no other index by id.
const NEAR_SQL: &str = "\
WITH RECURSIVE search(low, high) AS (
    SELECT 0, coalesce((SELECT max(first) FROM batch), 0)
    UNION ALL
    SELECT
        iif((SELECT most FROM batch WHERE first >= (low + high) / 2 ORDER BY first LIMIT 1) < $2, (low + high) / 2 + 1, low),
        iif((SELECT most FROM batch WHERE first >= (low + high) / 2 ORDER BY first LIMIT 1) < $2, high, (low + high) / 2)
    FROM search WHERE low < high),
near AS MATERIALIZED (
    SELECT first, last, least, most FROM batch
    WHERE first >= (SELECT low FROM search WHERE low >= high) ORDER BY first LIMIT 2048)
SELECT event.seq, event.body, event.packed
FROM near CROSS JOIN event ON event.seq BETWEEN near.first AND near.last
WHERE $1 BETWEEN near.least AND near.most LIMIT 4096";

/// How far the ids of batches may be out of order for the search around a time, in milliseconds.
const MAX_DISORDER: u128 = 1_000;

#[async_trait]
impl EventReader for Reader {
    async fn list(
        &self,
        filter: &EventFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        let through = before.map_or(u64::MAX, |before| before.saturating_sub(1));
        let range = Range { after: filter.after.unwrap_or_default(), through, newest_first: true };
        matching_events(self, filter, range, limit).await
    }

    async fn next(
        &self,
        filter: &EventFilter,
        through: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Unavailable> {
        let range = Range { after: filter.after.unwrap_or_default(), through, newest_first: false };
        matching_events(self, filter, range, limit).await
    }

    async fn after(&self, seq: u64, limit: u32) -> Result<Vec<StoredEvent>, Unavailable> {
        let query = sqlx::query("SELECT seq, body, packed FROM event WHERE seq > $1 ORDER BY seq LIMIT $2");
        event_rows::events(&self.fetch(query.bind(to_i64(seq)).bind(i64::from(limit))).await?)
    }

    async fn index_check(&self, seq: u64, limit: u32) -> Result<Vec<IndexCheckedEvent>, Unavailable> {
        index_check::after(self, seq, limit).await
    }

    async fn open_intents(&self, before: Timestamp) -> Result<Vec<StoredEvent>, Unavailable> {
        let open = open_intents::find(self, before, self.reconciled()).await?;
        self.record_reconciled(open.next_start);
        Ok(open.events)
    }

    async fn find(&self, id: EventId) -> Result<Option<StoredEvent>, Unavailable> {
        let near = event_rows::events(&self.fetch(near(id)).await?)?;
        if let Some(event) = near.into_iter().find(|event| event.id == id) {
            return Ok(Some(event));
        }
        // The clock went back, the id is not one of this log, or somebody changed the index.
        let mut before = i64::MAX;
        loop {
            let events = event_rows::events(&self.fetch(write::candidates(id, before)).await?)?;
            let oldest = events.last().map(|event| to_i64(event.seq));
            if let Some(event) = events.into_iter().find(|event| event.id == id) {
                return Ok(Some(event));
            }
            let Some(oldest) = oldest else { return Ok(None) };
            before = oldest;
        }
    }

    async fn batches(&self, after: u64, through: u64) -> Result<Vec<StoredBatch>, Unavailable> {
        tree_rows::batches(self, BATCHES_SQL, after, through).await
    }

    async fn count_misplaced(&self) -> Result<u64, Unavailable> {
        tree_rows::count_misplaced(self).await
    }
}

/// The query for the events around the time in this id, a UUID of version 7.
fn near(id: EventId) -> Query<'static, Sqlite, SqliteArguments> {
    let earliest = (id.0.as_u128() >> 80).saturating_sub(MAX_DISORDER) << 80;
    sqlx::query(NEAR_SQL).bind(write::blob(id)).bind(write::blob(EventId(Uuid::from_u128(earliest))))
}

/// At most `limit` events of the range that match. The statements find candidates, and the events' own bytes
/// decide.
async fn matching_events(
    reader: &Reader,
    filter: &EventFilter,
    mut range: Range,
    limit: u32,
) -> Result<Vec<StoredEvent>, Unavailable> {
    let limit_of_page = |page: u32| if filter.needs_bytes() { page } else { limit };
    let (mut page, mut found) = (FIRST_PAGE, Vec::new());
    loop {
        let candidates = limit_of_page(page);
        let rows = reader.fetch(select::candidates(filter, range, candidates).build()).await?;
        let events = event_rows::events(&rows)?;
        let is_last = u32::try_from(events.len()).unwrap_or(u32::MAX) < candidates;
        range = events.last().map_or(range, |event| range.beyond(event.seq));
        for event in events {
            if found.len() as u64 == u64::from(limit) {
                return Ok(found);
            }
            if filter.matches(&event.body) {
                found.push(event);
            }
        }
        if is_last || found.len() as u64 >= u64::from(limit) {
            return Ok(found);
        }
        page = page.saturating_mul(2).min(MAX_PAGE);
    }
}

#[cfg(test)]
mod tests;
