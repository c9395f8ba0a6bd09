//! Builds the query for the events that match a filter. It finds candidates through the index of batches and
//! compares the events' own bytes with the filter.

use sqlx::{QueryBuilder, Sqlite};

use super::fields::body;
use crate::{ports::EventFilter, store::columns::to_i64};

/// The time of an event in microseconds since 1970. An event that cannot be parsed matches no filter and does
/// not make the query fail.
const TIME_SQL: &str = concat!(
    "\
json_valid(body) AND coalesce(",
    body!(time_us),
    ", (",
    body!(time),
    ") * 1000)"
);

/// The order of the events. `before` is exclusive, `through` is inclusive.
#[derive(Clone, Copy)]
pub(super) enum Order {
    NewestFirst { before: u64 },
    OldestFirst { through: u64 },
}

/// The query for at most `limit` events that match.
pub(super) fn events(filter: &EventFilter, order: Order, limit: u32) -> QueryBuilder<Sqlite> {
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
    let (kind, closes) = (kind.map(str::to_owned), closes.map(|intent| intent.to_string()));
    let tenant = tenant.as_ref().map(|tenant| tenant.as_str().to_owned());
    let (last, direction) = match order {
        Order::NewestFirst { before } => (before.saturating_sub(1), " DESC"),
        Order::OldestFirst { through } => (through, ""),
    };
    // Without a bound, the smallest and the largest number stand in, because `max` and `min` with a single
    // argument would be aggregates over rows.
    let mut query = QueryBuilder::new("WITH edge(low, high) AS (SELECT max(");
    query.push_bind(to_i64(after.unwrap_or_default().saturating_add(1)));
    if let Some(since) = since {
        query.push(", coalesce((SELECT first FROM batch WHERE until >= ").push_bind(since.as_micros());
        query.push(" ORDER BY first LIMIT 1), 9223372036854775807)");
    }
    query.push(", 1), min(").push_bind(to_i64(last));
    if let Some(until) = until {
        // `max` also handles a damaged row whose end is before its beginning.
        query
            .push(", coalesce((SELECT max(first, last) FROM batch WHERE since < ")
            .push_bind(until.as_micros());
        query.push(" ORDER BY first DESC LIMIT 1), 0)");
    }
    query.push(", 9223372036854775807)) SELECT event.seq, event.body FROM ");
    let first = match (correlation, &tenant) {
        (Some(correlation), _) => batch_ranges(&mut query, "batch_of_call", "correlation", correlation),
        (None, Some(tenant)) => batch_ranges(&mut query, "batch_of_tenant", "tenant", tenant),
        (None, None) => {
            query.push("event WHERE true");
            "event.seq"
        }
    };
    // One bound at each end. Of several bounds SQLite uses one for the index and checks every event for the
    // rest.
    query.push(" AND event.seq BETWEEN (SELECT low FROM edge) AND (SELECT high FROM edge)");
    if let Some(since) = since {
        query.push(" AND ").push(TIME_SQL).push(" >= ").push_bind(since.as_micros());
    }
    if let Some(until) = until {
        query.push(" AND ").push(TIME_SQL).push(" < ").push_bind(until.as_micros());
    }
    let texts = [
        (body!(tenant), &tenant),
        (body!(correlation), correlation),
        (body!(operation), action),
        (concat!("coalesce(", body!(status_code), ", iif(", body!(status_id), " = 1, 'OK', NULL))"), outcome),
        (body!(subject), subject),
        (body!(resource), resource),
        (body!(kind), &kind),
        (body!(closes), &closes),
    ];
    for (expression, text) in texts {
        if let Some(text) = text {
            query.push(" AND json_valid(body) AND ").push(expression).push(" = ").push_bind(text.clone());
        }
    }
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
