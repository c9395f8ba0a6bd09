//! Processes that append at the same time, as the store sees them.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use logkey::{
    domain::idempotency::IdempotencyKey,
    ports::{AppendError, LeadershipStatus},
    store::{self, OpenError},
};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::until;
use crate::{
    harness::Postgres,
    store::{batch, id, indexed},
};

async fn open(postgres: &Postgres) -> store::Store {
    store::open(&store::Config { url: postgres.url() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn places_have_no_gap_and_none_is_seen_before_the_one_before_it() {
    let postgres = Postgres::start().await;
    let reader = open(&postgres).await;
    let (mut writers, done) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
    for writer in 0_u128..3 {
        let store = open(&postgres).await;
        writers.spawn(async move {
            for round in 0_u128..40 {
                let numbers = (0..5).map(|n| 1 + writer * 1_000 + round * 5 + n);
                let events = numbers.map(|number| (indexed(number), "{}".to_owned()));
                store.events.append(Arc::new(batch(events))).await.unwrap();
            }
        });
    }
    let follower = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            let (mut last, mut ids) = (0, HashSet::new());
            loop {
                let finished = done.load(Ordering::SeqCst);
                let page = reader.log.after(last, 7).await.unwrap();
                if page.is_empty() && finished {
                    return ids.len();
                }
                for event in page {
                    assert_eq!(event.seq, last + 1, "a place that was not there yet");
                    last = event.seq;
                    assert!(ids.insert(event.id), "twice");
                }
            }
        }
    });
    writers.join_all().await;
    done.store(true, Ordering::SeqCst);
    assert_eq!(follower.await.unwrap(), 600);
}

#[tokio::test]
async fn one_process_leads_and_another_takes_over_when_its_session_ends() {
    let postgres = Postgres::start().await;
    let (first, second) = (open(&postgres).await, open(&postgres).await);
    assert_eq!(first.tree.lead().await.unwrap(), LeadershipStatus::Acquired);
    assert_eq!(second.tree.lead().await.unwrap(), LeadershipStatus::Follower);
    assert!(first.leadership.is_leader() && !second.leadership.is_leader());
    let signed = |size| logkey::ports::SignedCheckpoint {
        size,
        time: logkey::domain::time::Timestamp::from_secs(1),
        note: format!("note {size}"),
        handover: false,
    };
    assert!(second.tree.grow(&[], &signed(1)).await.is_err(), "it grows from two processes");
    first.tree.grow(&[], &signed(5)).await.unwrap();
    assert!(first.tree.grow(&[], &signed(4)).await.is_err(), "it shrinks");
    // After an error it asks anew, as everyone does: here the other one is faster.
    until("the other's turn", async || second.tree.lead().await.unwrap() == LeadershipStatus::Acquired).await;
    assert_eq!(first.tree.lead().await.unwrap(), LeadershipStatus::Follower);
    drop(second);
    until("the first one's turn", async || first.tree.lead().await.unwrap() == LeadershipStatus::Acquired)
        .await;
}

#[tokio::test]
async fn a_session_that_was_given_up_keeps_nothing_more() {
    let postgres = Postgres::start().await;
    let store = open(&postgres).await;
    let mut session = postgres.session("logkey").await;
    // Another session takes this process's place, as its own recovery would while it hung.
    sqlx::query("UPDATE writer SET session = gen_random_uuid()").execute(&mut session).await.unwrap();
    let late = store.events.append(Arc::new(batch([(indexed(1), "{}".to_owned())]))).await;
    assert!(matches!(late, Err(AppendError::NotWritten(_))), "{late:?}");
    assert!(!store.events.recover(Some(id(1))).await.unwrap());
    store.events.append(Arc::new(batch([(indexed(1), "{}".to_owned())]))).await.unwrap();
}

#[tokio::test]
async fn a_request_is_held_by_one_process_until_it_is_dropped_or_dies() {
    let postgres = Postgres::start().await;
    let (first, second) = (open(&postgres).await, open(&postgres).await);
    let own = IdempotencyKey { tenant: "a".parse().unwrap(), id: Uuid::from_u128(1) };
    let other = IdempotencyKey { tenant: "b".parse().unwrap(), ..own.clone() };
    let lock = first.requests.lock(&own).await.unwrap().unwrap();
    assert!(second.requests.lock(&own).await.unwrap().is_none());
    assert!(second.requests.lock(&other).await.unwrap().is_some());
    drop(lock);
    until("what was dropped", async || second.requests.lock(&own).await.unwrap().is_some()).await;
    let lock = until_held(&first, &own).await;
    // The whole process ends: its session goes with it, whoever still has the guard.
    drop(first);
    let mut session = postgres.session("logkey").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'";
    sqlx::query(end).execute(&mut session).await.unwrap();
    drop(until_held(&second, &own).await);
    drop(lock);
}

async fn until_held(store: &store::Store, own: &IdempotencyKey) -> logkey::ports::RequestLock {
    let mut lock = None;
    until("the request", async || {
        lock = store.requests.lock(own).await.unwrap();
        lock.is_some()
    })
    .await;
    lock.unwrap()
}

#[tokio::test]
async fn commits_are_durable_whatever_the_servers_default_and_a_server_without_fsync_is_refused() {
    let mut postgres = Postgres::start().await;
    let mut session = postgres.session("logkey").await;
    for setting in ["synchronous_commit = off", "default_transaction_isolation = 'serializable'"] {
        let sql = format!("ALTER DATABASE logkey SET {setting}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut session).await.unwrap();
    }
    let trigger = "CREATE TABLE seen (told text); \
                   CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen \
                   SELECT current_setting('synchronous_commit') || ' ' || current_setting('transaction_isolation'); \
                   RETURN new; END $$; CREATE TRIGGER tell AFTER INSERT ON event EXECUTE FUNCTION tell()";
    let store = open(&postgres).await;
    sqlx::raw_sql(trigger).execute(&mut session).await.unwrap();
    store.events.append(Arc::new(batch([(indexed(1), "{}".to_owned())]))).await.unwrap();
    let output: Vec<String> =
        sqlx::query_scalar("SELECT told FROM seen").fetch_all(&mut session).await.unwrap();
    assert_eq!(output, ["on read committed"]);
    drop((store, session));

    postgres.crash();
    postgres.up_with(&["fsync=off"]).await;
    let refused = store::open(&store::Config { url: postgres.url() }).await.unwrap_err();
    assert!(matches!(refused, OpenError::Unfit { .. }), "{refused}");
    assert!(refused.to_string().contains("fsync = on"), "{refused}");
}

#[tokio::test]
async fn a_schema_of_a_newer_release_is_refused_and_an_empty_database_has_no_log_to_read() {
    let postgres = Postgres::start().await;
    let config = store::Config { url: postgres.url() };
    let nothing = store::open_reader(&config).await.map(drop).unwrap_err();
    assert!(matches!(nothing, OpenError::Missing { .. }), "{nothing}");
    // Two at once make the schema once.
    let (one, two) = tokio::join!(store::open(&config), store::open(&config));
    drop((one.unwrap(), two.unwrap()));
    let mut session = postgres.session("logkey").await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (999, 'later', true, '', 0)";
    sqlx::query(newer).execute(&mut session).await.unwrap();
    let refused = store::open(&config).await.map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Newer { version: 999, .. }), "{refused}");
}
