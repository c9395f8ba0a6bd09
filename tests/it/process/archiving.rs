//! The running service moves old events to an archive.

mod moto;

use std::sync::Arc;

use logkey::{
    app::SystemClock,
    audit::{self, Journal, Sequencer, archive::ArchiveReader, parsed_event::ParsedEvent},
    domain::audit::{AuditOperation, Event, JournalEntry},
    ports::{AuditLog as _, Clock as _, EventFilter, StoredEvent},
    store,
};

use super::*;
use crate::audit_tampering::forger::Database;

const SETTINGS: &str = "[audit]\nretention = \"1d\"\narchive = \"archive\"\n";

/// Writes events from two days ago and from now to a new store, signs them, and returns the id of the first one.
pub(crate) async fn fill(store: &store::Config, key_file: &Path, old: usize, new: usize) -> String {
    let event = |days: u64| {
        let time = SystemClock.now().minus(Duration::from_hours(24 * days));
        Event::for_service(AuditOperation::Reload, time)
    };
    let old = std::iter::repeat_with(|| event(2)).take(old);
    let events = old.chain(std::iter::repeat_with(|| event(0)).take(new));
    let first = fill_with(store, key_file, events.collect()).await.swap_remove(0);
    ParsedEvent::try_from(&first).unwrap().id
}

/// Writes these events to a new store, those of one day after those of an earlier one, and signs them. Returns the
/// first 10,000 events of the log.
pub(crate) async fn fill_with(
    store: &store::Config,
    key_file: &Path,
    mut events: Vec<Event>,
) -> Vec<StoredEvent> {
    let store = store::open(store).await.unwrap();
    let key = SigningKey::open_or_create(key_file, "logkey").unwrap();
    let (log, tree, clock) = (Arc::clone(&store.log), Arc::clone(&store.tree), Arc::new(SystemClock));
    let checked = Sequencer::check(log, tree, clock.clone(), key).await.unwrap();
    let sink = Arc::clone(&store.events);
    let journal = Arc::new(Journal::start(sink, clock, checked.tagger(), audit::Config::default()));
    events.sort_by_key(|event| event.time.as_secs() / 86_400);
    for day in events.chunk_by(|one, next| one.time.as_secs() / 86_400 == next.time.as_secs() / 86_400) {
        let mut writers = tokio::task::JoinSet::new();
        for event in day.iter().cloned() {
            let journal = Arc::clone(&journal);
            writers.spawn(async move { journal.commit(JournalEntry::event_only(event)).await.unwrap() });
        }
        writers.join_all().await;
    }
    journal.close().await;
    checked.start().await.unwrap().close().await;
    let stored = store.log.after(0, 10_000).await.unwrap();
    store.closing.close().await;
    stored
}

async fn fill_folder(folder: &Path, old: usize, new: usize) -> String {
    let file = folder.join("logkey.db");
    let id = fill(&store::Config::of_file(&file), &checkpoint::default_key_path(&file), old, new).await;
    let open = store::open_reader(&store::Config::of_file(&file)).await.unwrap();
    let note = open.tree.checkpoint().await.unwrap().unwrap().note;
    std::fs::write(folder.join("kept"), note).unwrap();
    id
}

/// Verifies the log from before it was archived on, with the archive that the settings name.
fn assert_intact(process: &Process) {
    let kept = process.folder().join("kept");
    let result =
        output(&["audit", "verify", "--config", &process.config, "--checkpoint", kept.to_str().unwrap()]);
    let output = text(&result.stdout) + &text(&result.stderr);
    assert!(result.status.success() && output.contains("intact: "), "{output}");
}

async fn first_event(folder: &Path) -> u64 {
    let open = store::open_reader(&store::Config::of_file(&folder.join("logkey.db"))).await.unwrap();
    open.log.after(0, 1).await.unwrap().first().unwrap().seq
}

#[tokio::test]
async fn a_running_service_archives_old_events_and_its_store_shrinks() {
    let folder = tempfile::tempdir().unwrap();
    let id = fill_folder(folder.path(), 6000, 100).await;
    let size = |folder: &Path| std::fs::metadata(folder.join("logkey.db")).unwrap().len();
    let before = size(folder.path());
    let process = Process::serve_in(folder, "", SETTINGS).await;
    // Whole tiles of the first 6,000 events.
    process.until_metric("logkey_audit_archived_events_total 5888").await;
    process.until_metric("logkey_audit_archive_timestamp_seconds ").await;
    process.until_metric("logkey_audit_archive_failing 0").await;
    process.until_metric("logkey_audit_archive_failures_total 0").await;
    assert_eq!(first_event(process.folder()).await, 5889);
    assert_intact(&process);
    let proof = output(&["audit", "prove", &id, "--config", &process.config]);
    assert!(text(&proof.stdout).starts_with("c2sp.org/tlog-proof@v1\nindex 0\n"), "{}", text(&proof.stderr));
    let out = process.folder().join("export").display().to_string();
    let export = output(&["audit", "export", "--out", &out, "--config", &process.config]);
    assert!(export.status.success(), "{}", text(&export.stderr));
    process.signal("-TERM");
    let mut process = process;
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
    assert!(size(process.folder()) < before / 2, "{} of {before} bytes", size(process.folder()));
}

#[tokio::test]
async fn an_archive_that_cannot_be_written_is_reported_and_nothing_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    fill_folder(folder.path(), 300, 0).await;
    std::fs::write(folder.path().join("archive"), "a file").unwrap();
    let process = Process::serve_in(folder, "", SETTINGS).await;
    process.until_metric("logkey_audit_archive_failing 1").await;
    process.until_metric("logkey_audit_archive_failures_total 1").await;
    process.until_metric("logkey_ready 1").await;
    assert_eq!(first_event(process.folder()).await, 1);
    assert_intact(&process);
    process.signal("-TERM");
    let (code, log) = process.end();
    assert_eq!(code, Some(0));
    assert!(log.contains("old events cannot be archived; they stay in the store"), "{log}");
}

/// What a service has done that archives.
#[derive(Clone, Copy, Debug)]
enum Point {
    Files,
    Checkpoint,
    Rows,
}

impl Point {
    async fn is_reached(self, folder: &Path) -> bool {
        match self {
            Self::Files => folder.join("archive/tile/entries/000").exists(),
            Self::Checkpoint => folder.join("archive/checkpoint").exists(),
            Self::Rows => first_event(folder).await > 1,
        }
    }
}

#[tokio::test]
async fn a_service_that_is_killed_while_it_archives_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fill_folder(folder.path(), 6000, 10).await;
    let [grpc, admin] = free_addresses().unwrap();
    let config = settings(folder.path(), grpc, admin);
    let usual = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, usual + SETTINGS).unwrap();
    for point in [Point::Files, Point::Checkpoint, Point::Rows] {
        let mut service = KillOnDrop(serving(Path::new(&config)).spawn().unwrap());
        let mut polls = 0..6000;
        while !point.is_reached(folder.path()).await {
            polls.next().unwrap_or_else(|| panic!("timed out waiting for {point:?}"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        service.kill().unwrap();
        service.wait().unwrap();
        // Every event is in the store or in the archive.
        let mut file = Database::open(folder.path()).await;
        let first = file.number("SELECT min(seq) FROM event").await;
        let rows = file.number("SELECT max(seq) - min(seq) + 1 - count(*) FROM event").await;
        file.close().await;
        let archived = ArchiveReader::in_folder(&folder.path().join("archive")).await;
        let archived = archived.map_or(0, |archive| archive.size());
        assert!(rows == 0 && first.unsigned_abs() <= archived + 1, "{point:?}: {first} after {archived}");
    }
    let process = Process::serve_in(folder, "", SETTINGS).await;
    process.until_metric("logkey_audit_archive_timestamp_seconds ").await;
    assert_eq!(first_event(process.folder()).await, 5889);
    assert_intact(&process);
    let open =
        store::open_reader(&store::Config::of_file(&process.folder().join("logkey.db"))).await.unwrap();
    let claims = EventFilter { action: Some("Archive".to_owned()), ..EventFilter::default() };
    let claims = open.log.list(&claims, None, 10).await.unwrap();
    assert_eq!(claims.len(), 1, "the log records it once");
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}
