//! Concurrent writers of one store.

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
async fn sequence_numbers_have_no_gaps_and_become_visible_in_order() {
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
                    assert_eq!(event.seq, last + 1, "a sequence number before its predecessor");
                    last = event.seq;
                    assert!(ids.insert(event.id), "an event appears twice");
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
    assert!(second.tree.grow(&[], &signed(1)).await.is_err(), "a follower must not grow the tree");
    first.tree.grow(&[], &signed(5)).await.unwrap();
    assert!(first.tree.grow(&[], &signed(4)).await.is_err(), "the tree must not shrink");
    // After an error, a process competes for the lead again; here the other one wins.
    until("the second process to lead", async || {
        second.tree.lead().await.unwrap() == LeadershipStatus::Acquired
    })
    .await;
    assert_eq!(first.tree.lead().await.unwrap(), LeadershipStatus::Follower);
    drop(second);
    until("the first process to lead", async || {
        first.tree.lead().await.unwrap() == LeadershipStatus::Acquired
    })
    .await;
}

#[tokio::test]
async fn a_replaced_session_cannot_append_until_it_recovers() {
    let postgres = Postgres::start().await;
    let store = open(&postgres).await;
    let mut session = postgres.session("logkey").await;
    // Another session replaces this one, as the recovery of a hanging process would.
    sqlx::query("UPDATE writer SET session = gen_random_uuid()").execute(&mut session).await.unwrap();
    let late = store.events.append(Arc::new(batch([(indexed(1), "{}".to_owned())]))).await;
    assert!(matches!(late, Err(AppendError::NotWritten(_))), "{late:?}");
    assert!(!store.events.recover(Some(id(1))).await.unwrap());
    store.events.append(Arc::new(batch([(indexed(1), "{}".to_owned())]))).await.unwrap();
}

#[tokio::test]
async fn an_idempotency_key_is_locked_until_release_or_the_process_ends() {
    let postgres = Postgres::start().await;
    let (first, second) = (open(&postgres).await, open(&postgres).await);
    let key = IdempotencyKey { tenant: "a".parse().unwrap(), id: Uuid::from_u128(1) };
    let other = IdempotencyKey { tenant: "b".parse().unwrap(), ..key.clone() };
    let lock = first.requests.lock(&key).await.unwrap().unwrap();
    assert!(second.requests.lock(&key).await.unwrap().is_none());
    assert!(second.requests.lock(&other).await.unwrap().is_some());
    drop(lock);
    until("the released lock", async || second.requests.lock(&key).await.unwrap().is_some()).await;
    let lock = wait_for_lock(&first, &key).await;
    // The end of the process ends its session and releases the lock, even though the guard still exists.
    drop(first);
    let mut session = postgres.session("logkey").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'";
    sqlx::query(end).execute(&mut session).await.unwrap();
    drop(wait_for_lock(&second, &key).await);
    drop(lock);
}

async fn wait_for_lock(store: &store::Store, key: &IdempotencyKey) -> logkey::ports::RequestLock {
    let mut lock = None;
    until("the lock", async || {
        lock = store.requests.lock(key).await.unwrap();
        lock.is_some()
    })
    .await;
    lock.unwrap()
}

#[tokio::test]
async fn commits_are_durable_and_a_server_without_fsync_is_rejected() {
    let mut postgres = Postgres::start().await;
    let mut session = postgres.session("logkey").await;
    for setting in ["synchronous_commit = off", "default_transaction_isolation = 'serializable'"] {
        let sql = format!("ALTER DATABASE logkey SET {setting}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut session).await.unwrap();
    }
    let trigger = "CREATE TABLE observed (settings text); \
                   CREATE FUNCTION observe() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO observed \
                   SELECT current_setting('synchronous_commit') || ' ' || current_setting('transaction_isolation'); \
                   RETURN new; END $$; CREATE TRIGGER observe AFTER INSERT ON event EXECUTE FUNCTION observe()";
    let store = open(&postgres).await;
    sqlx::raw_sql(trigger).execute(&mut session).await.unwrap();
    store.events.append(Arc::new(batch([(indexed(1), "{}".to_owned())]))).await.unwrap();
    let output: Vec<String> =
        sqlx::query_scalar("SELECT settings FROM observed").fetch_all(&mut session).await.unwrap();
    assert_eq!(output, ["on read committed"]);
    drop((store, session));

    postgres.crash();
    postgres.up_with(&["fsync=off"]).await;
    let refused = store::open(&store::Config { url: postgres.url() }).await.unwrap_err();
    assert!(matches!(refused, OpenError::Unfit { .. }), "{refused}");
    assert!(refused.to_string().contains("fsync = on"), "{refused}");
}

#[tokio::test]
async fn a_newer_schema_is_rejected_and_an_empty_database_has_no_log() {
    let postgres = Postgres::start().await;
    let config = store::Config { url: postgres.url() };
    let nothing = store::open_reader(&config).await.map(drop).unwrap_err();
    assert!(matches!(nothing, OpenError::Missing { .. }), "{nothing}");
    // Two concurrent processes create the schema only once.
    let (one, two) = tokio::join!(store::open(&config), store::open(&config));
    drop((one.unwrap(), two.unwrap()));
    let mut session = postgres.session("logkey").await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (999, 'later', true, '', 0)";
    sqlx::query(newer).execute(&mut session).await.unwrap();
    let refused = store::open(&config).await.map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Newer { version: 999, .. }), "{refused}");
}
