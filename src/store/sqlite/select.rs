//! Builds the query for the events that can match a filter, by the index of batches.

use sqlx::{QueryBuilder, Sqlite};

use crate::{ports::EventFilter, store::columns::to_i64};

/// Which events are read, and in which order. `after` is exclusive, `through` is inclusive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) after: u64,
    pub(super) through: u64,
    pub(super) newest_first: bool,
}

// === impl Range ===

impl Range {
    /// What is left of the range after the event at this position.
    pub(super) fn beyond(self, seq: u64) -> Self {
        if self.newest_first {
            Self { through: seq.saturating_sub(1), ..self }
        } else {
            Self { after: seq, ..self }
        }
    }
}

/// The query for at most `limit` events of the range that can match.
pub(super) fn candidates(filter: &EventFilter, range: Range, limit: u32) -> QueryBuilder<Sqlite> {
    // Without a bound, the smallest and the largest number stand in, because `max` and `min` with a single
    // argument would be aggregates over rows.
    let mut query = QueryBuilder::new("WITH edge(low, high) AS (SELECT max(");
    query.push_bind(to_i64(range.after.saturating_add(1)));
    if let Some(since) = filter.since {
        query.push(", coalesce((SELECT first FROM batch WHERE until >= ").push_bind(since.as_micros());
        query.push(" ORDER BY first LIMIT 1), 9223372036854775807)");
    }
    query.push(", 1), min(").push_bind(to_i64(range.through));
    if let Some(until) = filter.until {
        // `max` also handles a damaged row whose end is before its beginning.
        query
            .push(", coalesce((SELECT max(first, last) FROM batch WHERE since < ")
            .push_bind(until.as_micros());
        query.push(" ORDER BY first DESC LIMIT 1), 0)");
    }
    query.push(", 9223372036854775807)) SELECT event.seq, event.body, event.packed FROM ");
    let first = match (&filter.correlation, &filter.tenant) {
        (Some(correlation), _) => batch_ranges(&mut query, "batch_of_call", "correlation", correlation),
        (None, Some(tenant)) => batch_ranges(&mut query, "batch_of_tenant", "tenant", tenant.as_str()),
        (None, None) => {
            query.push("event WHERE true");
            "event.seq"
        }
    };
    // One bound at each end. Of several bounds SQLite uses one for the index and checks every event for the
    // rest.
    query.push(" AND event.seq BETWEEN (SELECT low FROM edge) AND (SELECT high FROM edge)");
    let direction = if range.newest_first { " DESC" } else { "" };
    query.push(" ORDER BY ").push(first).push(direction).push(", event.seq").push(direction);
    query.push(" LIMIT ").push_bind(i64::from(limit));
    query
}

/// Adds the events of the batches that `table` lists for `value`, and returns the column with the beginning
/// of a batch. The cross joins fix the order, because SQLite has no statistics and would start with all
/// events.
fn batch_ranges(
    query: &mut QueryBuilder<Sqlite>,
    table: &'static str,
    column: &'static str,
    value: &str,
) -> &'static str {
    query.push(table).push(" AS of CROSS JOIN batch ON batch.first = of.first");
    query.push(" CROSS JOIN event ON event.seq BETWEEN batch.first AND batch.last WHERE of.").push(column);
    query.push(" = ").push_bind(value.to_owned());
    // The first batch may begin before the lower bound.
    query.push(
        " AND of.first BETWEEN \
         coalesce((SELECT max(first) FROM batch WHERE first <= (SELECT low FROM edge)), 0) \
         AND (SELECT high FROM edge)",
    );
    "of.first"
}

#[cfg(test)]
mod tests;
