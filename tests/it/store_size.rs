//! How many bytes a change takes in a SQLite store, with its index, its part of the tree and what is known of
//! the log group. It also makes the samples from which the dictionary of compressed events is trained.
#![expect(clippy::print_stdout, reason = "the sizes are for people too")]

mod samples;

use std::{path::Path, sync::Arc, time::Duration};

use logkey::{
    app::SystemClock,
    audit::{
        self, Journal, Sequencer,
        checkpoint::{self, SigningKey},
        event,
    },
    domain::{
        association::RecordedAssociation,
        audit::{Event, EventId, JournalEntry},
    },
    ports::{AuditLog as _, Clock as _},
    store,
};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use self::samples::Samples;

/// The most bytes that a change may take in the store if each of its events is a commit.
const MAX_BYTES_ALONE: i64 = 1_400;
/// The same for a read.
const MAX_BYTES_OF_READ: i64 = 620;

/// The journal refuses intents while a commit takes longer, which a slow disk must not cause here.
const STALL: Duration = Duration::from_mins(10);

/// What callers do.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// Changes, each of another log group.
    Changes,
    /// Reads, each in its own commit if there is one caller.
    Reads,
}

/// The size of the file without its free pages, after a clean stop.
async fn used_bytes(folder: &Path) -> i64 {
    let url = format!("sqlite://{}/logkey.db", folder.display());
    let mut file = SqliteConnection::connect(&url).await.unwrap();
    let mut number =
        async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut file).await.unwrap();
    let pages = number("PRAGMA page_count").await - number("PRAGMA freelist_count").await;
    let bytes = pages * number("PRAGMA page_size").await;
    file.close().await.unwrap();
    bytes
}

/// Prints how many bytes each table and index takes per change or read.
async fn print_tables(folder: &Path, times: i64) {
    let url = format!("sqlite://{}/logkey.db", folder.display());
    let mut file = SqliteConnection::connect(&url).await.unwrap();
    let sql = "SELECT name, sum(pgsize), sum(unused) FROM dbstat GROUP BY name HAVING sum(pgsize) > 8192 ORDER BY 2 DESC";
    for row in sqlx::query(sql).fetch_all(&mut file).await.unwrap() {
        let (name, bytes, unused): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
        println!("    {:>5} ({:>4} unused) {name}", bytes / times, unused / times);
    }
    file.close().await.unwrap();
}

/// Lets so many callers at once do this so many times, and closes the store.
async fn run(folder: &Path, work: Work, callers: usize, times: usize) {
    let file = folder.join("logkey.db");
    let store = store::open(&store::Config { url: format!("sqlite://{}", file.display()) }).await.unwrap();
    let key = SigningKey::open_or_create(&checkpoint::default_key_path(&file), "logkey").unwrap();
    let (log, tree, clock) = (Arc::clone(&store.log), Arc::clone(&store.tree), Arc::new(SystemClock));
    let checked = Sequencer::check(log, tree, clock.clone(), key).await.unwrap();
    let (events, config) =
        (Arc::clone(&store.events), audit::Config { stall: STALL, ..audit::Config::default() });
    let journal = Arc::new(Journal::start(events, clock, checked.tagger(), config));
    let sequencer = checked.with_leaf_cache(journal.leaf_cache()).start().await.unwrap();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let journal = Arc::clone(&journal);
        tasks.spawn(async move {
            let mut samples = Samples::with_other_names(caller as u64);
            for _ in 0..times {
                match work {
                    Work::Changes => change(&journal, &mut samples).await,
                    Work::Reads => {
                        let read = JournalEntry::event_only(samples.read(SystemClock.now()));
                        journal.commit(read).await.unwrap();
                    }
                }
            }
        });
    }
    tasks.join_all().await;
    journal.close().await;
    sequencer.close().await;
    store.closing.close().await;
}

async fn change(journal: &Journal, samples: &mut Samples) {
    let (intent, outcome) = samples.change(SystemClock.now());
    let id = journal.commit(JournalEntry::event_only(intent)).await.unwrap();
    let association = outcome.resource.clone().map(|resource| RecordedAssociation {
        resource,
        key: outcome.keys.resolved.clone(),
        previous_key: outcome.keys.previous.clone(),
        accepted: outcome.time,
    });
    let event = Event { closes: Some(id), time: SystemClock.now(), ..outcome };
    journal.commit(JournalEntry { association, ..JournalEntry::event_only(event) }).await.unwrap();
}

#[tokio::test]
async fn a_change_takes_few_bytes_in_the_store() {
    for (work, callers, times, max) in [
        (Work::Changes, 1, 300, MAX_BYTES_ALONE),
        (Work::Changes, 64, 20, MAX_BYTES_ALONE),
        (Work::Reads, 1, 300, MAX_BYTES_OF_READ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), work, 1, 0).await;
        let before = used_bytes(dir.path()).await;
        run(dir.path(), work, callers, times).await;
        let times = i64::try_from(callers * times).unwrap();
        let each = (used_bytes(dir.path()).await - before) / times;
        println!("{work:?} by {callers} callers: {each} bytes each");
        print_tables(dir.path(), times).await;
        assert!(each <= max, "{work:?} by {callers} callers: {each} bytes each");
    }
}

/// Writes the events from which `zstd --train` makes the dictionary to the folder that `LOGKEY_SAMPLES` names.
#[test]
#[ignore = "makes files"]
fn samples_for_the_dictionary() {
    let folder = std::path::PathBuf::from(std::env::var_os("LOGKEY_SAMPLES").unwrap());
    let mut samples = Samples::for_training(1);
    for number in 0..8_000 {
        let event = samples.any(SystemClock.now());
        let mut bytes = Vec::new();
        event::write(&event, EventId(Uuid::now_v7()), &mut bytes).unwrap();
        std::fs::write(folder.join(format!("{number}.json")), bytes).unwrap();
    }
}
