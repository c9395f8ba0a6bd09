//! The events that fit a filter: found by the batches in which they lie, told apart by what they say.

use sqlx::{QueryBuilder, Sqlite};

use super::read::to_i64;
use crate::ports::EventFilter;

/// When an event happened, in microseconds since 1970. What cannot be read fits nothing, and keeps nothing
/// else from being found.
const TIME: &str = "\
json_valid(body) AND coalesce(body ->> '$.unmapped.logkey.time_us', (body ->> '$.time') * 1000)";

/// From which end, and which place is the first that is not, or the last that is, asked for.
#[derive(Clone, Copy)]
pub(super) enum Order {
    NewestFirst { before: u64 },
    OldestFirst { through: u64 },
}

/// The question for at most `limit` events that fit.
pub(super) fn events(filter: &EventFilter, order: Order, limit: u32) -> QueryBuilder<Sqlite> {
    let EventFilter { tenant, since, until, action, outcome, correlation, subject, resource, after } = filter;
    let tenant = tenant.as_ref().map(|tenant| tenant.as_str().to_owned());
    let (last, direction) = match order {
        Order::NewestFirst { before } => (before.saturating_sub(1), " DESC"),
        Order::OldestFirst { through } => (through, ""),
    };
    // The greatest and the least number there are stand for what is not asked; with one value alone, max and
    // min would look at rows.
    let mut query = QueryBuilder::new("WITH edge(low, high) AS (SELECT max(");
    query.push_bind(to_i64(after.unwrap_or_default().saturating_add(1)));
    if let Some(since) = since {
        query.push(", coalesce((SELECT first FROM batch WHERE until >= ").push_bind(since.as_micros());
        query.push(" ORDER BY first LIMIT 1), 9223372036854775807)");
    }
    query.push(", 1), min(").push_bind(to_i64(last));
    if let Some(until) = until {
        // Not before it begins, whatever the row says.
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
    // One bound at each end: of several SQLite takes one, and looks at each event for the others.
    query.push(" AND event.seq BETWEEN (SELECT low FROM edge) AND (SELECT high FROM edge)");
    if let Some(since) = since {
        query.push(" AND ").push(TIME).push(" >= ").push_bind(since.as_micros());
    }
    if let Some(until) = until {
        query.push(" AND ").push(TIME).push(" < ").push_bind(until.as_micros());
    }
    let texts = [
        ("body ->> '$.metadata.tenant_uid'", &tenant),
        ("body ->> '$.metadata.correlation_uid'", correlation),
        ("body ->> '$.api.operation'", action),
        ("coalesce(body ->> '$.status_code', iif(body ->> '$.status_id' = 1, 'OK', NULL))", outcome),
        ("body ->> '$.actor.user.uid'", subject),
        ("body ->> '$.resources[0].uid'", resource),
    ];
    for (filter_value, text) in texts {
        if let Some(text) = text {
            query.push(" AND json_valid(body) AND ").push(filter_value).push(" = ").push_bind(text.clone());
        }
    }
    query.push(" ORDER BY ").push(first).push(direction).push(", event.seq").push(direction);
    query.push(" LIMIT ").push_bind(i64::from(limit));
    query
}

/// The events of the batches that this table names; tells where one begins. In this order: SQLite has no
/// statistics, and would begin with all events.
fn batch_ranges(
    query: &mut QueryBuilder<Sqlite>,
    table: &'static str,
    column: &'static str,
    value: &str,
) -> &'static str {
    query.push(table).push(" AS of CROSS JOIN batch ON batch.first = of.first");
    query.push(" CROSS JOIN event ON event.seq BETWEEN batch.first AND batch.last WHERE of.").push(column);
    query.push(" = ").push_bind(value.to_owned());
    // The first one may begin before what is asked for.
    query.push(
        " AND of.first BETWEEN \
         coalesce((SELECT max(first) FROM batch WHERE first <= (SELECT low FROM edge)), 0) \
         AND (SELECT high FROM edge)",
    );
    "of.first"
}

#[cfg(test)]
mod tests;
