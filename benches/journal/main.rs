//! The cost of the audit journal: `cargo bench --bench journal [-- FOLDER]`.
//!
//! It measures three ratios on the same disk: two durable records of one caller to one fdatasync of the same
//! size; the records per second of 64 callers to SQLite with one commit per record; and sustained appends
//! with tree and checkpoints to SQLite with 100 rows per commit. The SQLite table has the same indexed
//! columns as the event table. The result for a table without them is printed too.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and one that fails has no result"
)]

#[path = "../shared/sync.rs"]
mod sync;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use logkey::{
    app::SystemClock,
    audit::{self, BatchTagger, Journal, Sequencer, checkpoint::SigningKey},
    domain::{
        association::{Location, RecordedAssociation, Resource, Target},
        audit::{
            Actor, AuditOperation, AwsCallRecord, Completion, DecisionRecord, Event, JournalEntry, Keys, Kind,
        },
        call::{Action, RequestId},
    },
    ports::{AuditLog as _, Clock},
    store::{self, Store},
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::task::JoinSet;

use self::sync::{Probe, percentiles};

const ROUNDS: usize = 5;
const CALLS: usize = 200;
/// How long each throughput measurement runs.
const WINDOW: Duration = Duration::from_secs(2);

/// The allocator of the service.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    // On a worker thread of the runtime, like the calls of the service.
    tokio::spawn(measure()).await.unwrap();
}

async fn measure() {
    let base = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_else(|| ".".into());
    let base: &'static str = base.leak();
    let (mut sync, mut pair) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir_in(base).unwrap();
        let (store, journal) = open(dir.path()).await;
        // Interleaved, so that both measure the disk in the same state.
        let mut probe = Probe::new(dir.path()).unwrap();
        for _ in 0..CALLS {
            sync.push(probe.sync().unwrap());
            let started = Instant::now();
            call(&journal).await;
            pair.push(started.elapsed());
        }
        journal.close().await;
        drop(store);
    }
    let (s, p) = (percentiles(sync), percentiles(pair));
    println!("one fdatasync:             p50 {:>9.1?}  p99 {:>9.1?}", s.0, s.1);
    println!("two durable records:       p50 {:>9.1?}  p99 {:>9.1?}", p.0, p.1);
    let rest = p.0.saturating_sub(Duration::from_micros(200)).as_secs_f64() / s.0.as_secs_f64();
    println!("beyond 0.2 ms:             {rest:.2} fdatasync  (at most 2.2)");

    let alone = median(ROUNDS, || commit_per_record(base, INDEXED)).await;
    let lean = median(ROUNDS, || commit_per_record(base, BARE)).await;
    let group = median(ROUNDS, || many_callers(base)).await;
    println!("commit per record:         {alone:>9.0} records/s ({lean:.0} without columns and indexes)");
    let (times, lean) = (group / alone, group / lean);
    println!("64 callers:                {group:>9.0} records/s  = {times:.1} x (at least 8; {lean:.1} x)");

    let plain = median(ROUNDS, || hundred_rows(base, INDEXED)).await;
    let lean = median(ROUNDS, || hundred_rows(base, BARE)).await;
    let with_tree = median(ROUNDS, || sustained(base)).await;
    println!("100 rows per commit:       {plain:>9.0} records/s ({lean:.0} without columns and indexes)");
    let (times, lean) = (with_tree / plain, with_tree / lean);
    println!(
        "sustained, with the tree:  {with_tree:>9.0} records/s  = {times:.2} x (at least 1; {lean:.2} x)"
    );
}

async fn open(dir: &Path) -> (Store, Arc<Journal>) {
    let url = format!("sqlite://{}/logkey.db", dir.display());
    let store = store::open(&store::Config { url }).await.unwrap();
    let key = SigningKey::open_or_create(&dir.join("key.pem"), "logkey").unwrap();
    let (clock, config) = (Arc::new(SystemClock), audit::Config::default());
    let journal = Journal::start(Arc::clone(&store.events), clock, BatchTagger::new(&key), config);
    (store, Arc::new(journal))
}

/// Records an intent and its outcome, like a use case.
async fn call(journal: &Journal) {
    let (intent, outcome) = records();
    let id = journal.commit(intent).await.unwrap();
    let event = Event { closes: Some(id), ..outcome.event };
    journal.commit(JournalEntry { event, ..outcome }).await.unwrap();
}

fn records() -> (JournalEntry, JournalEntry) {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let resource = Resource { location, target: Target::LogGroup("/payments/api".parse().unwrap()) };
    let key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let event = Event {
        kind: Kind::Intent,
        act: AuditOperation::Rpc(Action::AssociateKmsKey),
        correlation: RequestId::new_v7(),
        actor: Actor {
            tenant: Some("payments".parse().unwrap()),
            subject: Some("someone@example.com".into()),
            issuer: Some("https://idp.example.com".into()),
            token_id: Some("d3c550fd-dbcc-4bbb-a232-57fd68e1bd82".into()),
            delegation: None,
            source: Some("192.0.2.7".parse().unwrap()),
            unverified_user_agent: Some("grpc-node-js/1.13.0".into()),
        },
        resource: Some(resource.clone()),
        keys: Keys { requested: Some(key.into()), resolved: key.parse().ok(), previous: None },
        reason: Some("ticket 4711".into()),
        decision: Some(DecisionRecord { allowed: true, policies: vec!["tenant/payments/0".into()] }),
        ..Event::for_service(AuditOperation::Start, SystemClock.now())
    };
    let outcome = Event {
        kind: Kind::Outcome,
        via: AwsCallRecord {
            role_arn: Some("arn:aws:iam::111122223333:role/LogKeyAssociator".into()),
            session_name: Some("payments".into()),
            aws_request_ids: vec!["8ba0b1f0-3b1f-4c5e-9f0a-8f3f6f0a1b2c".into()],
        },
        end: Some(Completion { failure: None, aws_error: None, latency: Duration::from_millis(12) }),
        ..event.clone()
    };
    let association = RecordedAssociation {
        resource,
        key: key.parse().ok(),
        previous_key: None,
        accepted: SystemClock.now(),
    };
    (
        JournalEntry::event_only(event),
        JournalEntry { association: Some(association), ..JournalEntry::event_only(outcome) },
    )
}

async fn many_callers(base: &str) -> f64 {
    let dir = tempfile::tempdir_in(base).unwrap();
    let (_store, journal) = open(dir.path()).await;
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let journal = Arc::clone(&journal);
        callers.spawn(async move {
            while started.elapsed() < WINDOW {
                call(&journal).await;
            }
        });
    }
    callers.join_all().await;
    let took = started.elapsed();
    journal.close().await;
    per_second(count(dir.path()).await, took)
}

async fn sustained(base: &str) -> f64 {
    let dir = tempfile::tempdir_in(base).unwrap();
    let (store, journal) = open(dir.path()).await;
    let key = SigningKey::open_or_create(&dir.path().join("key.pem"), "logkey").unwrap();
    let (log, tree) = (Arc::clone(&store.log), Arc::clone(&store.tree));
    let checked = Sequencer::check(log, tree, Arc::new(SystemClock), key).await.unwrap();
    let sequencer = checked.with_leaf_cache(journal.leaf_cache()).start().await.unwrap();
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..256 {
        let journal = Arc::clone(&journal);
        callers.spawn(async move {
            for _ in 0..40 {
                call(&journal).await;
            }
        });
    }
    callers.join_all().await;
    journal.close().await;
    // The last checkpoint is part of the work.
    sequencer.close().await;
    let took = started.elapsed();
    per_second(count(dir.path()).await, took)
}

async fn count(dir: &Path) -> i64 {
    let options = SqliteConnectOptions::new().filename(dir.join("logkey.db")).read_only(true);
    let mut file = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM event").fetch_one(&mut file).await.unwrap()
}

/// A table, and the statement that inserts a row.
#[derive(Clone, Copy)]
struct Table {
    schema: &'static str,
    insert: &'static str,
}

const INDEXED: Table = Table {
    schema: include_str!("../../src/store/migrations/sqlite/0001_events.sql"),
    insert: "INSERT INTO event (body, id, time, correlation, tenant, kind, action, account, outcome) \
             VALUES ($1, $2, $3, $4, 'payments', 'intent', 'AssociateKmsKey', '111122223333', NULL)",
};

const BARE: Table = Table {
    schema: "CREATE TABLE event (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT",
    insert: "INSERT INTO event (body) VALUES ($1)",
};

async fn plain(dir: &Path, table: Table) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(dir.join("plain.db")).create_if_missing(true);
    let mut file = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").execute(&mut file).await.unwrap();
    sqlx::raw_sql(table.schema).execute(&mut file).await.unwrap();
    file
}

async fn insert(file: &mut SqliteConnection, table: Table, body: &str) {
    let mut query = sqlx::query(table.insert).bind(body);
    if table.insert == INDEXED.insert {
        let id = uuid::Uuid::now_v7();
        query = query.bind(id.as_bytes().to_vec()).bind(SystemClock.now().as_micros());
        query = query.bind(uuid::Uuid::new_v4().to_string());
    }
    query.execute(file).await.unwrap();
}

async fn commit_per_record(base: &str, table: Table) -> f64 {
    let dir = tempfile::tempdir_in(base).unwrap();
    let (mut file, body) = (plain(dir.path(), table).await, "x".repeat(1500));
    let (started, mut done) = (Instant::now(), 0);
    while started.elapsed() < WINDOW {
        insert(&mut file, table, &body).await;
        done += 1;
    }
    per_second(done, started.elapsed())
}

async fn hundred_rows(base: &str, table: Table) -> f64 {
    let dir = tempfile::tempdir_in(base).unwrap();
    let (mut file, body) = (plain(dir.path(), table).await, "x".repeat(1500));
    let started = Instant::now();
    for _ in 0..200 {
        sqlx::raw_sql("BEGIN").execute(&mut file).await.unwrap();
        for _ in 0..100 {
            insert(&mut file, table, &body).await;
        }
        sqlx::raw_sql("COMMIT").execute(&mut file).await.unwrap();
    }
    per_second(200 * 100, started.elapsed())
}

#[expect(clippy::cast_precision_loss, reason = "a bench counts less than 2^52")]
fn per_second(count: i64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

async fn median<F: Future<Output = f64>>(rounds: usize, mut run: impl FnMut() -> F) -> f64 {
    let mut all = Vec::new();
    for _ in 0..rounds {
        all.push(run().await);
    }
    all.sort_by(f64::total_cmp);
    all.get(rounds / 2).copied().unwrap_or_default()
}
