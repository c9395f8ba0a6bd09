//! The log is kept for years: its key changes, its oldest events go to an archive, and it can be checked
//! all the same, also by whoever knows the old key only.

use std::{path::Path, sync::Arc};

use logkey::{
    audit::{
        self, Journal, Sequencer,
        archive::{ArchiveError, ArchiveInputs, ArchiveReader, ArchiveReport, archive},
        checkpoint::{self, SigningKey},
        export::{self, Signed},
        prove, rotation, sequencer,
        verify::{self, ArchivedRanges, Finding, Report, TrustAnchor},
    },
    domain::{
        association::{Location, Resource, Target},
        audit::{AuditOperation, Event, EventId, JournalEntry, Kind},
        call::Action,
        time::Timestamp,
    },
    ports::{AuditLog as _, Clock, SinkPosition},
    store::{self, Store},
};
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::process::logkey;

const ORIGIN: &str = "logkey";

struct Counting(std::sync::atomic::AtomicI64);

impl Clock for Counting {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
    }
}

/// A log in a folder of its own, opened anew for each step as by a process of its own.
struct Log {
    dir: TempDir,
    clock: Arc<Counting>,
}

/// The log, open for writing.
struct Open {
    store: Store,
    journal: Arc<Journal>,
    sequencer: Sequencer,
    clock: Arc<Counting>,
    key: SigningKey,
}

impl Log {
    fn new() -> Self {
        let clock = Arc::new(Counting(1_700_000_000_000_000.into()));
        Self { dir: tempfile::tempdir().unwrap(), clock }
    }

    fn config(&self) -> store::Config {
        store::Config { url: format!("sqlite://{}/logkey.db", self.dir.path().display()) }
    }

    fn key_file(&self) -> std::path::PathBuf {
        checkpoint::default_key_path(&self.dir.path().join("logkey.db"))
    }

    async fn start(&self) -> Result<Open, sequencer::Corruption> {
        let store = store::open(&self.config()).await.unwrap();
        let key = SigningKey::open_or_create(&self.key_file(), ORIGIN).unwrap();
        let (log, tree) = (Arc::clone(&store.log), Arc::clone(&store.tree));
        let checked = Sequencer::check(log, tree, self.clock.clone(), key.clone()).await?;
        let config = audit::Config::default();
        let journal = Arc::new(Journal::start(Arc::clone(&store.events), self.clock.clone(), config));
        if let Some(change) = checked.rotation() {
            rotation::record(&*journal, &*self.clock, change).await.unwrap();
        }
        let sequencer = checked.start().await?;
        Ok(Open { store, journal, sequencer, clock: self.clock.clone(), key })
    }

    async fn grow(&self, count: usize) -> Vec<EventId> {
        let open = self.start().await.unwrap();
        let ids = open.grow(count).await;
        open.close().await;
        ids
    }

    async fn check_with(&self, trusted_keys: &[String], archived: Option<&Path>) -> Report {
        let open = store::open_reader(&self.config()).await.unwrap();
        let archive = archived.map(|folder| ArchiveReader::open(folder).unwrap());
        let against = TrustAnchor {
            origin: ORIGIN,
            verifiers: trusted_keys,
            kept_checkpoint: None,
            archive: archive.as_ref(),
        };
        verify::verify(&*open.log, &*open.tree, &against, |_| {}).await.unwrap()
    }

    async fn check(&self, archived: Option<&Path>) -> Report {
        let key = SigningKey::open(&self.key_file(), ORIGIN).unwrap();
        self.check_with(&key.verifiers(), archived).await
    }

    async fn archive(&self, before: Timestamp, folder: &Path) -> Result<ArchiveReport, ArchiveError> {
        let open = self.start().await.unwrap();
        let done = open.archive(before, folder).await;
        open.close().await;
        done
    }

    async fn tamper(&self, sql: &'static str) {
        let mut file = sqlx::SqliteConnection::connect(&self.config().url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut file).await.unwrap();
        file.close().await.unwrap();
    }

    async fn value(&self, sql: &'static str) -> i64 {
        let mut file = sqlx::SqliteConnection::connect(&self.config().url).await.unwrap();
        let value = sqlx::query_scalar(sql).fetch_one(&mut file).await.unwrap();
        file.close().await.unwrap();
        value
    }
}

impl Open {
    async fn grow(&self, count: usize) -> Vec<EventId> {
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..count {
            let (journal, event) =
                (Arc::clone(&self.journal), Event::for_service(AuditOperation::Start, self.clock.now()));
            callers.spawn(async move { journal.commit(JournalEntry::event_only(event)).await.unwrap() });
        }
        let mut ids = callers.join_all().await;
        ids.sort();
        ids
    }

    async fn archive(&self, before: Timestamp, folder: &Path) -> Result<ArchiveReport, ArchiveError> {
        let signed = self.sequencer.prover();
        let parts = ArchiveInputs {
            log: &*self.store.log,
            tree: &*self.store.tree,
            events: &*self.store.archived,
            audit: &*self.journal,
            signed: &signed,
            clock: &*self.clock,
            key: &self.key,
        };
        archive(parts, before, folder).await
    }

    async fn close(self) {
        self.journal.close().await;
        self.sequencer.close().await;
    }
}

fn copied(from: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &to);
            } else {
                drop(std::fs::copy(entry.path(), to));
            }
        }
    }
    let to = tempfile::tempdir().unwrap();
    copy(from, to.path());
    to
}

#[tokio::test]
async fn another_key_takes_over_and_whoever_knows_either_can_follow() {
    let log = Log::new();
    log.grow(300).await;
    let old = SigningKey::open(&log.key_file(), ORIGIN).unwrap().verifiers();
    let kept_checkpoint =
        store::open_reader(&log.config()).await.unwrap().tree.checkpoint().await.unwrap().unwrap();
    let both = SigningKey::rotate(&log.key_file(), ORIGIN).unwrap();
    log.grow(10).await;
    let newest =
        async || store::open_reader(&log.config()).await.unwrap().tree.checkpoint().await.unwrap().unwrap();
    for key in both.verifiers() {
        checkpoint::read(newest().await.note.as_bytes(), ORIGIN, &[key]).unwrap();
    }
    let new = SigningKey::drop_previous(&log.key_file(), ORIGIN).unwrap().verifiers();
    log.grow(10).await;
    assert!(
        checkpoint::read(newest().await.note.as_bytes(), ORIGIN, &old).is_err(),
        "the old key signs no more"
    );
    checkpoint::read(newest().await.note.as_bytes(), ORIGIN, &new).unwrap();

    // 300, the event that names both, and 20.
    for trusted_keys in [&old, &new] {
        assert_eq!(
            log.check_with(trusted_keys, None).await,
            Report { events: 321, signed: 321, ..Report::default() }
        );
    }
    let stranger =
        SigningKey::open_or_create(&log.dir.path().join("stranger.pem"), ORIGIN).unwrap().verifiers();
    assert!(matches!(&log.check_with(&stranger, None).await.findings[..], [Finding::Checkpoint(_)]));
    // A checkpoint that the old key signed can be held against the log by whoever knows the new one.
    let open = store::open_reader(&log.config()).await.unwrap();
    let trusted = verify::trusted(&*open.log, &*open.tree, ORIGIN, &new, None).await.unwrap();
    let kept_checkpoint = checkpoint::read(kept_checkpoint.note.as_bytes(), ORIGIN, &trusted).unwrap();
    let against = TrustAnchor {
        origin: ORIGIN,
        verifiers: &new,
        kept_checkpoint: Some(&kept_checkpoint),
        archive: None,
    };
    let report = verify::verify(&*open.log, &*open.tree, &against, |_| {}).await.unwrap();
    assert_eq!(report.findings, []);

    // An export lets the same be done elsewhere: the note of the change is signed by both.
    let out = tempfile::tempdir().unwrap();
    let (note, handovers) = (newest().await.note, open.tree.key_rotations().await.unwrap());
    let read = checkpoint::read(note.as_bytes(), ORIGIN, &new).unwrap();
    let signed = Signed { checkpoint: &read, note: &note, verifiers: &trusted, handovers: &handovers };
    export::export(&*open.log, None, &signed, out.path()).await.unwrap();
    let change = std::fs::read(out.path().join(format!("handover/{}", handovers[0].size))).unwrap();
    for key in [&old, &new] {
        assert!(checkpoint::read(&change, ORIGIN, key).unwrap().size() >= 301);
    }
    assert_eq!(std::fs::read_to_string(out.path().join("verifier.key")).unwrap().trim(), new[0]);
}

#[tokio::test]
async fn a_key_that_the_log_does_not_lead_to_is_not_believed() {
    let log = Log::new();
    log.grow(300).await;
    let trusted_keys = SigningKey::open(&log.key_file(), ORIGIN).unwrap().verifiers();
    // Someone with the disk, and not the key, goes on with a key of their own: the service refuses.
    std::fs::remove_file(log.key_file()).unwrap();
    let refused = log.start().await.err().unwrap();
    assert!(matches!(refused, sequencer::Corruption::Checkpoint(_)), "{refused:?}");
    // And who begins anew with another tool finds that the old key never named the new one.
    log.tamper("DELETE FROM checkpoint; DELETE FROM tile").await;
    log.grow(10).await;
    assert!(matches!(&log.check_with(&trusted_keys, None).await.findings[..], [Finding::Checkpoint(_)]));
}

#[tokio::test]
async fn old_events_go_to_an_archive_and_the_log_stays_whole_with_it() {
    let (log, out) = (Log::new(), tempfile::tempdir().unwrap());
    let ids = log.grow(600).await;
    let cut = log.clock.now();
    log.grow(100).await;
    let moved = log.archive(cut, out.path()).await.unwrap();
    assert_eq!(moved, ArchiveReport { last: 512, count: 512 });
    assert_eq!(log.value("SELECT min(seq) FROM event").await, 513);
    // It says so itself, and is not called whole before the archive was looked at.
    let without = log.check(None).await;
    assert_eq!(without.findings, []);
    assert_eq!(without.moved_out, Some(ArchivedRanges { last: 512, claimed: 701, checked: false }));
    let with = log.check(Some(out.path())).await;
    assert_eq!(with.findings, []);
    assert_eq!(with.moved_out, Some(ArchivedRanges { last: 512, claimed: 701, checked: true }));

    // The service goes on, and so does the archive.
    log.grow(300).await;
    let moved = log.archive(log.clock.now(), out.path()).await.unwrap();
    assert_eq!(moved, ArchiveReport { last: 768, count: 256 });
    assert_eq!(log.archive(Timestamp::from_micros(0), out.path()).await.unwrap().count, 0);
    let with = log.check(Some(out.path())).await;
    assert_eq!((with.findings, with.moved_out.unwrap().checked), (Vec::new(), true));

    // What was moved out is found and proved by the archive alone.
    let archive = ArchiveReader::open(out.path()).unwrap();
    let verifiers = SigningKey::open(&log.key_file(), ORIGIN).unwrap().verifiers();
    let signed = archive.signed(ORIGIN, &verifiers).unwrap();
    assert_eq!(signed.size(), 768);
    for at in [0, 255, 256, 511, 599] {
        let event = archive.find(ids[at]).await.unwrap().unwrap();
        let proof = prove::inclusion(&archive, event.seq, 768).await.unwrap();
        let leaf = tlog_tiles::record_hash(event.body.as_bytes());
        tlog_tiles::check_record(&proof, 768, *signed.hash(), event.seq - 1, leaf).unwrap();
    }
    // An export can be made of both together.
    let (whole, open) = (tempfile::tempdir().unwrap(), store::open_reader(&log.config()).await.unwrap());
    let note = open.tree.checkpoint().await.unwrap().unwrap().note;
    let read = checkpoint::read(note.as_bytes(), ORIGIN, &verifiers).unwrap();
    let signed = Signed { checkpoint: &read, note: &note, verifiers: &verifiers, handovers: &[] };
    assert!(export::export(&*open.log, None, &signed, whole.path()).await.is_err());
    export::export(&*open.log, Some(&archive), &signed, whole.path()).await.unwrap();
}

#[tokio::test]
async fn who_removes_events_and_says_that_they_were_archived_is_found() {
    let (log, out) = (Log::new(), tempfile::tempdir().unwrap());
    log.grow(600).await;
    log.archive(log.clock.now(), out.path()).await.unwrap();
    log.grow(10).await;
    let more = Log { dir: copied(log.dir.path()), clock: log.clock.clone() };
    // More than was moved out.
    more.tamper("DELETE FROM event WHERE seq <= 530").await;
    assert_eq!(more.check(Some(out.path())).await.findings, [Finding::Removed { first: 513, last: 530 }]);
    // Said in the store alone: another event is made to look like the one that says so.
    let tampered = Log { dir: copied(log.dir.path()), clock: log.clock.clone() };
    tampered.tamper("UPDATE event SET body = replace(body, '\"archived_last\":512', '\"archived_last\":530') WHERE body ->> '$.api.operation' = 'Archive'; DELETE FROM event WHERE seq <= 530").await;
    let found = tampered.check(Some(out.path())).await.findings;
    assert!(found.contains(&Finding::Altered { seq: 601 }), "{found:?}");
    // Never moved out at all.
    let never = Log::new();
    never.grow(300).await;
    never.tamper("DELETE FROM event WHERE seq <= 256").await;
    let report = never.check(None).await;
    assert_eq!((report.findings, report.moved_out), (vec![Finding::Removed { first: 1, last: 256 }], None));
}

#[tokio::test]
async fn an_archive_that_was_changed_or_lacks_something_is_found() {
    let (log, out) = (Log::new(), tempfile::tempdir().unwrap());
    log.grow(600).await;
    log.archive(log.clock.now(), out.path()).await.unwrap();
    let changed = copied(out.path());
    let bundle = changed.path().join("tile/entries/001");
    let bytes = std::fs::read(&bundle).unwrap();
    // Every length stays as it was.
    let at = bytes.windows(13).position(|part| part == b"Informational").unwrap();
    let mut bytes = bytes;
    bytes[at..at + 13].copy_from_slice(b"Unimportant!!");
    std::fs::write(&bundle, bytes).unwrap();
    assert_eq!(log.check(Some(changed.path())).await.findings, [Finding::Altered { seq: 257 }]);
    let lacking = copied(out.path());
    std::fs::remove_file(lacking.path().join("tile/entries/001")).unwrap();
    let report = log.check(Some(lacking.path())).await;
    assert_eq!((report.findings, report.moved_out.unwrap().checked), (Vec::new(), false));
}

#[tokio::test]
async fn archiving_that_was_interrupted_anywhere_goes_on_and_loses_nothing() {
    // Interrupted after the files, after the event, and in the middle of the removal.
    let (log, out) = (Log::new(), tempfile::tempdir().unwrap());
    log.grow(600).await;
    let before = log.clock.now();
    let started = copied(log.dir.path());
    log.archive(before, out.path()).await.unwrap();

    let files_only = Log { dir: started, clock: log.clock.clone() };
    let moved = files_only.archive(before, out.path()).await.unwrap();
    assert_eq!(moved, ArchiveReport { last: 512, count: 512 });
    assert_eq!(files_only.check(Some(out.path())).await.findings, []);

    let halfway = Log::new();
    halfway.grow(600).await;
    let folder = tempfile::tempdir().unwrap();
    let whole = copied(halfway.dir.path());
    halfway.archive(halfway.clock.now(), folder.path()).await.unwrap();
    // Its rows come back from the copy, but for the first hundred.
    let sql = format!(
        "ATTACH '{}/logkey.db' AS whole; \
         INSERT INTO event SELECT * FROM whole.event WHERE seq BETWEEN 101 AND 512; \
         DELETE FROM batch WHERE first <= 600; DELETE FROM batch_of_call WHERE first <= 600; \
         INSERT INTO batch SELECT * FROM whole.batch; \
         INSERT INTO batch_of_call SELECT * FROM whole.batch_of_call",
        whole.path().display()
    );
    let mut file = sqlx::SqliteConnection::connect(&halfway.config().url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut file).await.unwrap();
    file.close().await.unwrap();
    let report = halfway.check(Some(folder.path())).await;
    assert_eq!((report.findings, report.moved_out.unwrap().last), (Vec::new(), 100));
    let moved = halfway.archive(Timestamp::from_micros(0), folder.path()).await.unwrap();
    assert_eq!(moved, ArchiveReport { last: 512, count: 412 });
    assert_eq!(
        halfway.value("SELECT count(*) FROM event WHERE body ->> '$.api.operation' = 'Archive'").await,
        1,
        "said once"
    );
    assert_eq!(halfway.check(Some(folder.path())).await.findings, []);
}

#[tokio::test]
async fn nothing_goes_that_is_not_signed_not_settled_or_not_where_the_rest_is() {
    let (log, out) = (Log::new(), tempfile::tempdir().unwrap());
    let open = log.start().await.unwrap();
    open.grow(300).await;
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let intent = Event {
        kind: Kind::Intent,
        act: AuditOperation::Rpc(Action::AssociateKmsKey),
        resource: Some(Resource { location, target: Target::LogGroup("/app/web".parse().unwrap()) }),
        ..Event::for_service(AuditOperation::Start, log.clock.now())
    };
    open.journal.commit(JournalEntry::event_only(intent)).await.unwrap();
    open.grow(300).await;
    open.close().await;
    // An intent without an end stays, and all after it.
    assert_eq!(
        log.archive(log.clock.now(), out.path()).await.unwrap(),
        ArchiveReport { last: 256, count: 256 }
    );
    let other = tempfile::tempdir().unwrap();
    let refused = log.archive(log.clock.now(), other.path()).await.unwrap_err();
    assert!(matches!(refused, ArchiveError::Elsewhere { archived: 0, first: 257 }), "{refused:?}");
    let other = Log::new();
    other.grow(600).await;
    assert!(other.archive(other.clock.now(), out.path()).await.is_err(), "another log's archive");
    assert_eq!(other.value("SELECT count(*) FROM event").await, 600);

    // Events that no checkpoint covers stay.
    let unsigned = Log::new();
    let Open { store, journal, sequencer, clock, key } = unsigned.start().await.unwrap();
    for _ in 0..10 {
        let event = Event::for_service(AuditOperation::Start, clock.now());
        journal.commit(JournalEntry::event_only(event)).await.unwrap();
    }
    let signed = sequencer.prover();
    sequencer.close().await;
    for _ in 0..300 {
        let event = Event::for_service(AuditOperation::Start, clock.now());
        journal.commit(JournalEntry::event_only(event)).await.unwrap();
    }
    let parts = ArchiveInputs {
        log: &*store.log,
        tree: &*store.tree,
        events: &*store.archived,
        audit: &*journal,
        signed: &signed,
        clock: &*clock,
        key: &key,
    };
    let folder = tempfile::tempdir().unwrap();
    let refused = archive(parts, clock.now(), folder.path()).await.unwrap_err();
    assert!(matches!(refused, ArchiveError::NotCovered { last: 310, size: 10 }), "{refused:?}");
    assert!(!ArchiveReader::is_in(folder.path()));
    journal.close().await;
}

#[tokio::test]
async fn nothing_goes_that_a_sink_does_not_have_yet() {
    let (log, out) = (Log::new(), tempfile::tempdir().unwrap());
    log.grow(600).await;
    let open = log.start().await.unwrap();
    let sinks = &open.store.sinks;
    let names: [Box<str>; 2] = ["slow".into(), "quick".into()];
    sinks.register(&names).await.unwrap();
    let to = |event| SinkPosition { event, checkpoint: 0 };
    sinks.advance("quick", to(0), to(600)).await.unwrap();
    assert_eq!(open.archive(log.clock.now(), out.path()).await.unwrap(), ArchiveReport::default());
    sinks.advance("slow", to(0), to(300)).await.unwrap();
    let moved = open.archive(log.clock.now(), out.path()).await.unwrap();
    assert_eq!(moved, ArchiveReport { last: 256, count: 256 });
    // One that is not in the settings any more holds nothing back.
    sinks.register(&names[1..]).await.unwrap();
    let moved = open.archive(log.clock.now(), out.path()).await.unwrap();
    assert_eq!(moved, ArchiveReport { last: 512, count: 256 });
    open.close().await;
    assert_eq!(log.check(Some(out.path())).await.findings, []);
}

#[tokio::test]
async fn what_is_settled_is_written_down_so_that_a_start_need_not_read_the_whole_log() {
    let log = Log::new();
    log.grow(3000).await;
    let open = log.start().await.unwrap();
    assert_eq!(open.store.log.open_intents(log.clock.now()).await.unwrap(), []);
    open.close().await;
    let reconciled = log.value("SELECT value FROM fact WHERE name = 'settled_before'").await;
    assert!((2999..=3001).contains(&reconciled), "{reconciled}");
}

#[tokio::test]
async fn the_command_moves_events_out_and_says_what_it_could_not_tell_without_them() {
    let (log, out) = (Log::new(), tempfile::tempdir().unwrap());
    let ids = log.grow(600).await;
    let (store, folder) = (log.config().url, out.path().to_str().unwrap());
    let logkey = |arguments: &[&str]| {
        let done = logkey(&[&["audit"], arguments, &["--store", &store]].concat()).output().unwrap();
        let output = String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap();
        (done.status.code().unwrap(), output)
    };
    let (code, output) = logkey(&["archive", "--older-than", "1d", "--out", folder]);
    assert_eq!(
        (code, output),
        (0, format!("512 events moved out; {folder} holds the first 512 of the log\n"))
    );
    let (code, output) = logkey(&["verify"]);
    assert_eq!(code, 2, "{output}");
    assert!(
        output.contains("could not be told of events 1 to 512: name their archive with --archive"),
        "{output}"
    );
    let (code, output) = logkey(&["verify", "--archive", folder]);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("\nwhole: 601 events"), "{output}");
    let id = ids[7].to_string();
    assert_eq!(logkey(&["prove", &id]).0, 1);
    let (code, output) = logkey(&["prove", &id, "--archive", folder]);
    assert!(code == 0 && output.starts_with("c2sp.org/tlog-proof@v1\nindex 7\n"), "{output}");
    // Gone from the store, and the event that says so made to say more: changed.
    log.tamper("DELETE FROM event WHERE seq <= 520").await;
    let (code, output) = logkey(&["verify", "--archive", folder]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("events 513 to 520 were removed"), "{output}");

    // A new key, with the service stopped.
    let other = Log::new();
    other.grow(3).await;
    let old = SigningKey::open(&other.key_file(), ORIGIN).unwrap().verifier().to_owned();
    let store = other.config().url;
    let audit = |arguments: &[&str]| {
        let done =
            crate::process::logkey(&[&["audit"], arguments, &["--store", &store]].concat()).output().unwrap();
        let output = String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(0), "{output}");
        output
    };
    let output = audit(&["rotate-key"]);
    assert!(output.contains("it signs from here on, and the old key beside it"), "{output}");
    let output = audit(&["rotate-key", "--end"]);
    let new = SigningKey::open(&other.key_file(), ORIGIN).unwrap().verifier().to_owned();
    assert!(output.contains(&new) && new != old, "{output}");
    for key in [&old, &new] {
        assert!(audit(&["verify", "--verifier", key]).contains("whole: 4 events"));
    }
}
