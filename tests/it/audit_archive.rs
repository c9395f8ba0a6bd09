//! A log that is kept for years: its key is rotated and its oldest events move to an archive. It can still be
//! verified, also with only the old key.

mod sqlite;

use std::{path::Path, sync::Arc};

use logkey::{
    audit::{
        self, Journal, LogFolder, Sequencer,
        archive::{ArchiveError, ArchiveInputs, ArchiveReader, ArchiveReport, archive},
        checkpoint::{self, SigningKey},
        export::{self, Signed},
        prove, rotation, sequencer,
        verify::{self, ArchivedRanges, Finding, Report, TrustAnchor, TrustedLog},
    },
    domain::{
        association::{Location, Resource, Target},
        audit::{AuditOperation, Event, EventId, JournalEntry, Kind},
        call::Action,
        time::Timestamp,
    },
    ports::{AuditLog as _, Clock, EventFilter, SinkPosition, log_files::LogFiles},
    store::{self, Store},
};
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::{audit_tampering::forger::Database, process::logkey};

const ORIGIN: &str = "logkey";

struct Counting(std::sync::atomic::AtomicI64);

impl Clock for Counting {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
    }
}

/// A log in a separate folder. Each step opens it again, as a separate process would.
struct Log {
    dir: TempDir,
    clock: Arc<Counting>,
}

/// A log that is open for writing.
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
        let journal =
            Arc::new(Journal::start(Arc::clone(&store.events), self.clock.clone(), checked.tagger(), config));
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
        let archive = match archived {
            Some(folder) => Some(ArchiveReader::in_folder(folder).await.unwrap()),
            None => None,
        };
        let against = TrustAnchor {
            origin: ORIGIN,
            verifiers: trusted_keys,
            kept_checkpoint: None,
            archive: archive.as_ref(),
            key_file: None,
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
        let mut file = Database::open_as_text(self.dir.path()).await;
        file.run(sql).await;
        file.close().await;
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
        archive(parts, before, &files(folder)).await
    }

    async fn close(self) {
        self.journal.close().await;
        self.sequencer.close().await;
    }
}

fn files(folder: &Path) -> Arc<dyn LogFiles> {
    Arc::new(LogFolder::durable(folder))
}

fn copy_folder(from: &Path) -> TempDir {
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
async fn after_a_rotation_either_key_verifies_the_whole_log() {
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

    // 300 events, the event that names both keys, and 20 more.
    for trusted_keys in [&old, &new] {
        assert_eq!(
            log.check_with(trusted_keys, None).await,
            Report { events: 321, signed: 321, ..Report::default() }
        );
    }
    let unrelated =
        SigningKey::open_or_create(&log.dir.path().join("stranger.pem"), ORIGIN).unwrap().verifiers();
    assert!(matches!(&log.check_with(&unrelated, None).await.findings[..], [Finding::Checkpoint(_)]));
    // With the new key, an auditor can check the log against a checkpoint that the old key signed.
    let open = store::open_reader(&log.config()).await.unwrap();
    let trusted = TrustedLog::load(&*open.log, &*open.tree, ORIGIN, &new, None).await.unwrap();
    let kept_checkpoint =
        checkpoint::read(kept_checkpoint.note.as_bytes(), ORIGIN, &trusted.verifiers).unwrap();
    let against = TrustAnchor {
        origin: ORIGIN,
        verifiers: &new,
        kept_checkpoint: Some(&kept_checkpoint),
        archive: None,
        key_file: None,
    };
    let report = verify::verify(&*open.log, &*open.tree, &against, |_| {}).await.unwrap();
    assert_eq!(report.findings, []);

    // An export allows the same check elsewhere: both keys signed the checkpoint of the rotation.
    let out = tempfile::tempdir().unwrap();
    let note = newest().await.note;
    let read = checkpoint::read(note.as_bytes(), ORIGIN, &new).unwrap();
    let signed = Signed {
        checkpoint: &read,
        note: &note,
        verifiers: &trusted.verifiers,
        handovers: &trusted.handovers,
    };
    export::export(&*open.log, None, &signed, out.path()).await.unwrap();
    let change = std::fs::read(out.path().join(format!("handover/{}", trusted.handovers[0].size))).unwrap();
    for key in [&old, &new] {
        assert!(checkpoint::read(&change, ORIGIN, key).unwrap().size() >= 301);
    }
    assert_eq!(std::fs::read_to_string(out.path().join("verifier.key")).unwrap().trim(), new[0]);
}

#[tokio::test]
async fn a_key_that_the_old_key_never_named_is_not_trusted() {
    let log = Log::new();
    log.grow(300).await;
    let trusted_keys = SigningKey::open(&log.key_file(), ORIGIN).unwrap().verifiers();
    // Someone who has the disk but not the key replaces the key: the service does not start.
    std::fs::remove_file(log.key_file()).unwrap();
    let refused = log.start().await.err().unwrap();
    assert!(matches!(refused, sequencer::Corruption::Checkpoint(_)), "{refused:?}");
    // Without its checkpoints, the log is not continued either.
    log.tamper("DELETE FROM checkpoint; DELETE FROM tile").await;
    let refused = log.start().await.err().unwrap();
    assert!(matches!(refused, sequencer::Corruption::NoCheckpoint), "{refused:?}");
    assert!(matches!(&log.check_with(&trusted_keys, None).await.findings[..], [Finding::Checkpoint(_)]));
}

#[tokio::test]
async fn old_events_move_to_an_archive_and_the_log_stays_verifiable() {
    let (log, out) = (Log::new(), tempfile::tempdir().unwrap());
    let ids = log.grow(600).await;
    let cut = log.clock.now();
    log.grow(100).await;
    let moved = log.archive(cut, out.path()).await.unwrap();
    assert_eq!(moved, ArchiveReport { last: 512, count: 512 });
    assert_eq!(log.value("SELECT min(seq) FROM event").await, 513);
    // The report names the archived events, and the log does not count as whole until the archive is checked.
    let without = log.check(None).await;
    assert_eq!(without.findings, []);
    assert_eq!(without.moved_out, Some(ArchivedRanges { last: 512, claimed: 701, checked: false }));
    let with = log.check(Some(out.path())).await;
    assert_eq!(with.findings, []);
    assert_eq!(with.moved_out, Some(ArchivedRanges { last: 512, claimed: 701, checked: true }));

    // The log grows, and so does the archive.
    log.grow(300).await;
    let moved = log.archive(log.clock.now(), out.path()).await.unwrap();
    assert_eq!(moved, ArchiveReport { last: 768, count: 256 });
    assert_eq!(log.archive(Timestamp::from_micros(0), out.path()).await.unwrap().count, 0);
    let with = log.check(Some(out.path())).await;
    assert_eq!((with.findings, with.moved_out.unwrap().checked), (Vec::new(), true));

    // Archived events can be found and proved with the archive alone.
    let archive = ArchiveReader::in_folder(out.path()).await.unwrap();
    let verifiers = SigningKey::open(&log.key_file(), ORIGIN).unwrap().verifiers();
    let signed = archive.signed(ORIGIN, &verifiers).unwrap();
    assert_eq!(signed.size(), 768);
    for at in [0, 255, 256, 511, 599] {
        let event = archive.find(ids[at]).await.unwrap().unwrap();
        let proof = prove::inclusion(&archive, event.seq, 768).await.unwrap();
        let leaf = tlog_tiles::record_hash(event.body.as_bytes());
        tlog_tiles::check_record(&proof, 768, *signed.hash(), event.seq - 1, leaf).unwrap();
    }
    // An export needs both the log and the archive.
    let (whole, open) = (tempfile::tempdir().unwrap(), store::open_reader(&log.config()).await.unwrap());
    let note = open.tree.checkpoint().await.unwrap().unwrap().note;
    let read = checkpoint::read(note.as_bytes(), ORIGIN, &verifiers).unwrap();
    let signed = Signed { checkpoint: &read, note: &note, verifiers: &verifiers, handovers: &[] };
    assert!(export::export(&*open.log, None, &signed, whole.path()).await.is_err());
    export::export(&*open.log, Some(&archive), &signed, whole.path()).await.unwrap();
}

#[tokio::test]
async fn only_the_owner_can_read_archives_and_exports() {
    use std::os::unix::fs::PermissionsExt as _;
    let (log, base) = (Log::new(), tempfile::tempdir().unwrap());
    log.grow(300).await;
    let (archive, out) = (base.path().join("archive"), base.path().join("export"));
    log.archive(log.clock.now(), &archive).await.unwrap();
    let store = log.config().url;
    let [archive_text, out_text] = [&archive, &out].map(|path| path.to_str().unwrap());
    let export = ["audit", "export", "--archive", archive_text, "--out", out_text, "--store", &store];
    let mut files = vec![archive.clone(), out.clone()];
    assert!(logkey(&export).status().unwrap().success());
    let mut count = 0;
    while let Some(path) = files.pop() {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 8, "{count} files");
    // A file that an earlier release wrote for everyone gets the mode when it is written again.
    std::fs::set_permissions(out.join("checkpoint"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(logkey(&export).status().unwrap().success());
    let mode = std::fs::metadata(out.join("checkpoint")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn removed_events_that_claim_to_be_archived_are_found() {
    let (log, out) = (Log::new(), tempfile::tempdir().unwrap());
    log.grow(600).await;
    log.archive(log.clock.now(), out.path()).await.unwrap();
    log.grow(10).await;
    let more = Log { dir: copy_folder(log.dir.path()), clock: log.clock.clone() };
    // More events were removed than moved to the archive.
    more.tamper("DELETE FROM event WHERE seq <= 530").await;
    assert_eq!(more.check(Some(out.path())).await.findings, [Finding::Removed { first: 513, last: 530 }]);
    // The claim stands only in the store: the event about the archive was altered.
    let tampered = Log { dir: copy_folder(log.dir.path()), clock: log.clock.clone() };
    tampered.tamper("UPDATE event SET body = replace(body, '\"archived_last\":512', '\"archived_last\":530') WHERE body ->> '$.api.operation' = 'Archive'; DELETE FROM event WHERE seq <= 530").await;
    let found = tampered.check(Some(out.path())).await.findings;
    assert!(found.contains(&Finding::Altered { seq: 601 }), "{found:?}");
    // No events were ever moved to an archive.
    let never = Log::new();
    never.grow(300).await;
    never.tamper("DELETE FROM event WHERE seq <= 256").await;
    let report = never.check(None).await;
    assert_eq!((report.findings, report.moved_out), (vec![Finding::Removed { first: 1, last: 256 }], None));
}

#[tokio::test]
async fn a_changed_or_incomplete_archive_is_found() {
    let (log, out) = (Log::new(), tempfile::tempdir().unwrap());
    log.grow(600).await;
    log.archive(log.clock.now(), out.path()).await.unwrap();
    let changed = copy_folder(out.path());
    let bundle = changed.path().join("tile/entries/001");
    let bytes = std::fs::read(&bundle).unwrap();
    // The replacement has the same length.
    let at = bytes.windows(13).position(|part| part == b"Informational").unwrap();
    let mut bytes = bytes;
    bytes[at..at + 13].copy_from_slice(b"Unimportant!!");
    std::fs::write(&bundle, bytes).unwrap();
    assert_eq!(log.check(Some(changed.path())).await.findings, [Finding::Altered { seq: 257 }]);
    let lacking = copy_folder(out.path());
    std::fs::remove_file(lacking.path().join("tile/entries/001")).unwrap();
    let report = log.check(Some(lacking.path())).await;
    assert_eq!((report.findings, report.moved_out.unwrap().checked), (Vec::new(), false));
}

#[tokio::test]
async fn interrupted_archiving_resumes_and_loses_nothing() {
    // The interruptions: after the files were written, after the event, and in the middle of the removal.
    let (log, out) = (Log::new(), tempfile::tempdir().unwrap());
    log.grow(600).await;
    let before = log.clock.now();
    let started = copy_folder(log.dir.path());
    log.archive(before, out.path()).await.unwrap();

    let files_only = Log { dir: started, clock: log.clock.clone() };
    let moved = files_only.archive(before, out.path()).await.unwrap();
    assert_eq!(moved, ArchiveReport { last: 512, count: 512 });
    assert_eq!(files_only.check(Some(out.path())).await.findings, []);

    let halfway = Log::new();
    halfway.grow(600).await;
    let folder = tempfile::tempdir().unwrap();
    let whole = copy_folder(halfway.dir.path());
    halfway.archive(halfway.clock.now(), folder.path()).await.unwrap();
    // The rows come back from the copy, except the first hundred.
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
    let filter = EventFilter { action: Some("Archive".into()), ..EventFilter::default() };
    let log = store::open_reader(&halfway.config()).await.unwrap().log;
    assert_eq!(log.list(&filter, None, 10).await.unwrap().len(), 1, "the log records it once");
    assert_eq!(halfway.check(Some(folder.path())).await.findings, []);
}

#[tokio::test]
async fn unsigned_pending_or_misplaced_events_are_not_archived() {
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
    // An intent without an outcome stays, and so does everything after it.
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
    let refused = archive(parts, clock.now(), &files(folder.path())).await.unwrap_err();
    assert!(matches!(refused, ArchiveError::NotCovered { last: 310, size: 10 }), "{refused:?}");
    assert!(ArchiveReader::open_existing(files(folder.path())).await.unwrap().is_none());
    journal.close().await;
}

#[tokio::test]
async fn events_that_a_sink_still_needs_are_not_archived() {
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
    // A sink that is no longer in the settings holds nothing back.
    sinks.register(&names[1..]).await.unwrap();
    let moved = open.archive(log.clock.now(), out.path()).await.unwrap();
    assert_eq!(moved, ArchiveReport { last: 512, count: 256 });
    open.close().await;
    assert_eq!(log.check(Some(out.path())).await.findings, []);
}

#[tokio::test]
async fn a_start_does_not_read_the_events_before_the_reconciled_position() {
    let log = Log::new();
    log.grow(3000).await;
    let open = log.start().await.unwrap();
    assert_eq!(open.store.log.open_intents(log.clock.now()).await.unwrap(), []);
    open.close().await;
    let reconciled = log.value("SELECT value FROM fact WHERE name = 'settled_before'").await;
    assert!((2999..=3001).contains(&reconciled), "{reconciled}");
}

#[tokio::test]
async fn the_command_archives_events_and_needs_the_archive_to_verify() {
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
        (0, format!("512 events moved out; {folder} contains the first 512 events of the log\n"))
    );
    let (code, output) = logkey(&["verify"]);
    assert_eq!(code, 2, "{output}");
    assert!(
        output.contains("events 1 to 512 were not checked: name their archive with --archive"),
        "{output}"
    );
    let (code, output) = logkey(&["verify", "--archive", folder]);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("\nintact: 601 events"), "{output}");
    let id = ids[7].to_string();
    assert_eq!(logkey(&["prove", &id]).0, 1);
    let (code, output) = logkey(&["prove", &id, "--archive", folder]);
    assert!(code == 0 && output.starts_with("c2sp.org/tlog-proof@v1\nindex 7\n"), "{output}");
    // More events are missing from the store than were archived: the log was changed.
    log.tamper("DELETE FROM event WHERE seq <= 520").await;
    let (code, output) = logkey(&["verify", "--archive", folder]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("events 513 to 520 were removed"), "{output}");

    // A new key, while the service is stopped.
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
    assert!(output.contains("the new key signs from now on, together with the old key"), "{output}");
    let output = audit(&["rotate-key", "--end"]);
    let new = SigningKey::open(&other.key_file(), ORIGIN).unwrap().verifier().to_owned();
    assert!(output.contains(&new) && new != old, "{output}");
    for key in [&old, &new] {
        assert!(audit(&["verify", "--verifier", key]).contains("intact: 4 events"));
    }
}
