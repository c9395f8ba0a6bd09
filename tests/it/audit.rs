//! The audit log in a SQLite file: committed events survive in order, and one process at a time can open it.

use std::{sync::Arc, time::Duration};

use sqlx::Connection as _;

use logkey::{
    audit::{self, Journal, checkpoint::SigningKey, event},
    domain::{
        association::{Location, RecordedAssociation, Resource, Target},
        audit::{AuditOperation, Event, EventId, JournalEntry, Kind},
        time::Timestamp,
    },
    ports::{AppendError, AuditLog as _, Batch, Clock, EventFilter, EventStore, Unavailable},
    store::{self, OpenError, Store},
};

struct Counting(std::sync::atomic::AtomicI64);

impl Clock for Counting {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
    }
}

fn clock() -> Arc<Counting> {
    Arc::new(Counting(1_700_000_000_000_000.into()))
}

fn config(dir: &tempfile::TempDir) -> store::Config {
    store::Config { url: format!("sqlite://{}/logkey.db", dir.path().display()) }
}

fn entry(kind: Kind, clock: &Counting) -> JournalEntry {
    JournalEntry::event_only(Event { kind, ..Event::for_service(AuditOperation::Start, clock.now()) })
}

async fn ids(store: &Store) -> Vec<EventId> {
    store.log.after(0, 10_000).await.unwrap().into_iter().map(|event| event.id).collect()
}

/// Counts the commits and passes them on to a real store.
struct Counted(Arc<dyn EventStore>, std::sync::atomic::AtomicUsize);

#[async_trait::async_trait]
impl EventStore for Counted {
    async fn append(&self, batch: Arc<Batch>) -> Result<Option<u64>, AppendError> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.0.append(batch).await
    }

    async fn recover(&self, doubtful: Option<EventId>) -> Result<bool, Unavailable> {
        self.0.recover(doubtful).await
    }
}

fn tagger(dir: &tempfile::TempDir) -> Arc<audit::BatchTagger> {
    let key = SigningKey::open_or_create(&dir.path().join("signing.pem"), "logkey").unwrap();
    audit::BatchTagger::new(&key)
}

#[tokio::test]
async fn a_batch_of_several_statements_is_stored_whole_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = store::open(&config(&dir)).await.unwrap();
    let mut expected = Vec::new();
    for (count, first) in [(150, 1), (1, 151), (64, 152), (65, 216)] {
        let mut batch = Batch::default();
        for _ in 0..count {
            let id = EventId(uuid::Uuid::now_v7());
            let event = entry(Kind::Lifecycle, &clock).event;
            batch.events.push(event::write(&event, id, &mut batch.bytes).unwrap());
            expected.push(id);
        }
        assert_eq!(store.events.append(Arc::new(batch)).await.unwrap(), Some(first));
    }
    assert_eq!(ids(&store).await, expected);
}

#[tokio::test]
async fn committed_events_survive_a_reopen_in_order_and_without_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = store::open(&config(&dir)).await.unwrap();
    let journal = Arc::new(Journal::start(
        Arc::clone(&store.events),
        clock.clone(),
        tagger(&dir),
        audit::Config::default(),
    ));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (journal, clock) = (Arc::clone(&journal), clock.clone());
        callers.spawn(async move {
            let intent = journal.commit(entry(Kind::Intent, &clock)).await.unwrap();
            let outcome = journal.commit(entry(Kind::Outcome, &clock)).await.unwrap();
            assert!(intent < outcome);
            [intent, outcome]
        });
    }
    let mut committed_ids: Vec<EventId> = callers.join_all().await.concat();
    journal.close().await;
    drop((journal, store));

    let store = store::open(&config(&dir)).await.unwrap();
    committed_ids.sort();
    assert_eq!(ids(&store).await, committed_ids);
    let events = store.log.after(0, 10_000).await.unwrap();
    assert!(events.iter().map(|event| event.seq).eq(1..=128));
}

#[tokio::test]
async fn many_callers_share_few_commits() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = store::open(&config(&dir)).await.unwrap();
    let counted = Arc::new(Counted(Arc::clone(&store.events), 0.into()));
    let journal =
        Arc::new(Journal::start(counted.clone(), clock.clone(), tagger(&dir), audit::Config::default()));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..256 {
        let (journal, clock) = (Arc::clone(&journal), clock.clone());
        callers.spawn(async move { journal.commit(entry(Kind::Intent, &clock)).await.unwrap() });
    }
    assert_eq!(callers.join_all().await.len(), 256);
    let commits = counted.1.load(std::sync::atomic::Ordering::SeqCst);
    assert!(commits <= 64, "{commits} commits for 256 callers");
}

#[tokio::test]
async fn a_second_process_can_open_the_store_only_after_the_first_ends() {
    let dir = tempfile::tempdir().unwrap();
    let first = store::open(&config(&dir)).await.unwrap();
    let Err(OpenError::InUse { .. }) = store::open(&config(&dir)).await else {
        panic!("two processes opened the store")
    };
    drop(first);
    store::open(&config(&dir)).await.unwrap();
}

#[tokio::test]
async fn only_its_owner_can_read_the_store() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let _store = store::open(&config(&dir)).await.unwrap();
    for name in ["logkey.db", "logkey.db.lock", "logkey.db-wal", "logkey.db-shm"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_a_store_is_reported_and_left_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logkey.db");
    std::fs::write(&path, "this is a letter and not a database\n".repeat(200)).unwrap();
    let before = std::fs::read(&path).unwrap();
    let Err(OpenError::Damaged { .. }) = store::open(&config(&dir)).await else {
        panic!("opened a file that is not a store")
    };
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_newer_schema_is_reported_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    drop(store::open(&config(&dir)).await.unwrap());
    let mut writer = sqlx::SqliteConnection::connect(&config(&dir).url).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations SELECT 999, 'later', installed_on, true, checksum, 0 FROM _sqlx_migrations LIMIT 1",
    )
    .execute(&mut writer)
    .await
    .unwrap();
    let Err(error) = store::open(&config(&dir)).await else { panic!("opened a newer store") };
    assert!(matches!(error, OpenError::Newer { version: 999, .. }), "{error}");
    assert!(error.to_string().contains("newer release"), "{error}");
}

#[tokio::test]
async fn urls_that_name_no_file_are_rejected() {
    for url in ["sqlite::memory:", "sqlite://", "mysql://x", "", "sqlite://x?mode=memory"] {
        let result = store::open(&store::Config { url: url.into() }).await;
        assert!(matches!(result, Err(OpenError::Url(_))), "{url}");
    }
    let nowhere = store::Config { url: "sqlite:///proc/none/logkey.db".into() };
    assert!(matches!(store::open(&nowhere).await, Err(OpenError::NotWritable { .. })));
}

#[tokio::test]
async fn an_association_is_recorded_with_the_event_of_its_change() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = store::open(&config(&dir)).await.unwrap();
    let journal =
        Journal::start(Arc::clone(&store.events), clock.clone(), tagger(&dir), audit::Config::default());
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let group =
        Resource { location: location.clone(), target: Target::LogGroup("/app/web#1".parse().unwrap()) };
    let results = Resource { location, target: Target::QueryResults };
    let key = |n: u8| {
        format!("arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-12345678900{n}").parse().ok()
    };
    let record = |resource: &Resource, n, at| RecordedAssociation {
        resource: resource.clone(),
        key: key(n),
        previous_key: None,
        accepted: Timestamp::from_secs(at),
    };
    // AWS accepted the third change before the second: the record keeps the latest one.
    for (association, kind) in [
        (Some(record(&group, 1, 100)), Kind::Outcome),
        (Some(record(&group, 2, 300)), Kind::Outcome),
        (Some(record(&group, 3, 200)), Kind::Outcome),
        (None, Kind::Intent),
    ] {
        journal.commit(JournalEntry { association, ..entry(kind, &clock) }).await.unwrap();
    }
    let record = store.history.records(&[group.clone(), results]).await.unwrap();
    let [record] = record.as_slice() else { panic!("{record:?}") };
    assert_eq!((&record.resource, &record.key), (&group, &key(2)));
    assert_eq!(record.accepted, Some(Timestamp::from_secs(300)));
    assert_eq!(ids(&store).await.len(), 4);
}

#[tokio::test]
async fn events_are_found_by_their_fields_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = store::open(&config(&dir)).await.unwrap();
    let journal =
        Journal::start(Arc::clone(&store.events), clock.clone(), tagger(&dir), audit::Config::default());
    let mut expected = Vec::new();
    for n in 0..10 {
        let mut entry = entry(Kind::Intent, &clock);
        entry.event.correlation = format!("call-{}", n % 2).parse().unwrap();
        entry.event.actor.tenant = (n < 5).then(|| "payments".parse().unwrap());
        entry.event.actor.subject = Some(format!("user-{n}").into());
        expected.push(journal.commit(entry).await.unwrap());
    }
    let reader = store::open_reader(&config(&dir)).await.unwrap().log;
    let find = async |filter: EventFilter| {
        let found = reader.list(&filter, None, 100).await.unwrap();
        found
            .into_iter()
            .map(|event| expected.iter().position(|id| *id == event.id).unwrap())
            .collect::<Vec<_>>()
    };
    let all = EventFilter::default;
    assert_eq!(find(all()).await, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(find(EventFilter { tenant: "payments".parse().ok(), ..all() }).await, [4, 3, 2, 1, 0]);
    assert_eq!(find(EventFilter { correlation: Some("call-1".into()), ..all() }).await, [9, 7, 5, 3, 1]);
    assert_eq!(find(EventFilter { subject: Some("user-3".into()), ..all() }).await, [3]);
    assert_eq!(find(EventFilter { outcome: Some("OK".into()), ..all() }).await, [0_usize; 0]);
    let page = reader.list(&all(), Some(4), 2).await.unwrap();
    assert_eq!(page.iter().map(|event| event.seq).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(reader.find(expected[6]).await.unwrap().unwrap().seq, 7);
}

#[tokio::test]
async fn the_store_accepts_events_after_a_recovery() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = store::open(&config(&dir)).await.unwrap();
    let journal =
        Journal::start(Arc::clone(&store.events), clock.clone(), tagger(&dir), audit::Config::default());
    let committed = journal.commit(entry(Kind::Intent, &clock)).await.unwrap();
    assert!(store.events.recover(Some(committed)).await.unwrap());
    let unknown = EventId(uuid::Uuid::from_u128(1));
    assert!(!store.events.recover(Some(unknown)).await.unwrap());
    let after = tokio::time::timeout(Duration::from_secs(10), journal.commit(entry(Kind::Outcome, &clock)));
    let after = after.await.unwrap().unwrap();
    assert_eq!(ids(&store).await, [committed, after]);
}
