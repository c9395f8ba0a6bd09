use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{
    domain::{
        association::{Location, Resource, Target},
        audit::EventId,
        history::{Observation, Retention},
        idempotency::{Fingerprint, IdempotencyKey, RecordedStep, RequestOutcome},
        time::Timestamp,
    },
    store::{key_rows::observation_row, requests},
};

const BATCHES: &str = include_str!("../migrations/sqlite/0005_batches.sql");
const HISTORY: &str = include_str!("../migrations/postgres/0002_history.sql");
const APPEND: &str = include_str!("../migrations/postgres/0003_append.sql");

/// The positions of a JSON array that a statement reads with `->>`.
fn positions<'s>(statements: impl IntoIterator<Item = &'s str>) -> BTreeSet<usize> {
    let all = statements.into_iter().flat_map(|sql| sql.split("value ->> ").skip(1));
    all.map(|after| after.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()).collect()
}

/// The text from one word up to the next occurrence of another.
fn part<'s>(sql: &'s str, from: &str, to: &str) -> &'s str {
    let (_, after) = sql.split_once(from).unwrap();
    after.split_once(to).unwrap().0
}

fn columns(row: &impl serde::Serialize) -> BTreeSet<usize> {
    (0..serde_json::to_value(row).unwrap().as_array().unwrap().len()).collect()
}

#[test]
fn the_shipped_sql_reads_every_column_of_a_row() {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let at = Timestamp::from_secs(1);
    let observation = Observation {
        resource: Resource { location, target: Target::QueryResults },
        key: None,
        observed_at: at,
        created: None,
        retention: Retention::NotKnown,
    };
    let known = columns(&observation_row(&observation));
    assert_eq!(positions([part(BATCHES, "CREATE TRIGGER append_known", "END;")]), known);
    assert_eq!(positions([part(HISTORY, "CREATE FUNCTION keep_known", "END LOOP;")]), known);
    let facts = include_str!("../migrations/postgres/0008_facts.sql");
    assert_eq!(positions([part(facts, "FUNCTION keep_known", "END LOOP;")]), known);

    let (event, id) =
        (EventId(Uuid::nil()), IdempotencyKey { tenant: "t".parse().unwrap(), id: Uuid::nil() });
    let fingerprint = Fingerprint("f".into());
    let steps = [
        (event, RecordedStep::Intent { id, fingerprint, at, running_until: at }),
        (event, RecordedStep::Outcome { intent: event, end: RequestOutcome::Open }),
    ];
    let rows = requests::rows(&steps);
    let sqlite = part(BATCHES, "CREATE TRIGGER append_requests", "END;");
    let (begun, ended) = sqlite.split_once("UPDATE request SET outcome").unwrap();
    let started = columns(&rows.started[0]);
    // SQLite has one process, so it does not need the time of the request.
    assert!(positions([begun]).is_subset(&started));
    assert_eq!(positions([part(APPEND, "IF begun", "END IF;\n    IF ended")]), started);
    assert_eq!(positions([ended]), columns(&rows.outcomes[0]));
    assert_eq!(positions([part(APPEND, "IF ended", "END IF;")]), columns(&rows.outcomes[0]));
}
