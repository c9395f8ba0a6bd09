//! Every change of the audit log on disk is found, and verification says what was changed.

use std::sync::Arc;

use logkey::{
    audit::{
        self, Journal, PendingChangeReader, Sequencer, checkpoint,
        checkpoint::SigningKey,
        export::{self, Signed},
        prove, sequencer,
        verify::{Finding, Report, TrustAnchor, verify},
    },
    config::{EmptyEnv, Settings},
    domain::{
        association::{Location, Resource, Target},
        audit::{
            Actor, AuditOperation, Completion, Event, EventId, JournalEntry, Kind, ReconciliationResult,
        },
        call::Action,
        reason::Reason,
        time::Timestamp,
    },
    ports::{AuditLog as _, Clock, PendingChanges as _},
    store::{self, Store},
};
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::{audit_tampering::forger::Database, harness::Service};

const ORIGIN: &str = "logkey.test/audit";

struct Counting(std::sync::atomic::AtomicI64);

impl Clock for Counting {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
    }
}

fn clock() -> Arc<Counting> {
    Arc::new(Counting(1_700_000_000_000_000.into()))
}

fn config(dir: &TempDir) -> store::Config {
    store::Config { url: format!("sqlite://{}/logkey.db", dir.path().display()) }
}

fn key(dir: &TempDir) -> SigningKey {
    SigningKey::open_or_create(&checkpoint::default_key_path(&dir.path().join("logkey.db")), ORIGIN).unwrap()
}

/// Whether the error is the expected one.
type IsExpected = fn(&sequencer::Corruption) -> bool;

async fn sequence(store: &Store, key: SigningKey) -> Result<(), sequencer::Corruption> {
    let (log, tree) = (Arc::clone(&store.log), Arc::clone(&store.tree));
    Sequencer::check(log, tree, clock(), key).await?.start().await?.close().await;
    Ok(())
}

/// Adds events to the log and to the tree.
async fn grow(dir: &TempDir, count: usize, correlation: &str) -> Vec<EventId> {
    let (store, clock) = (store::open(&config(dir)).await.unwrap(), clock());
    let (log, tree) = (Arc::clone(&store.log), Arc::clone(&store.tree));
    let checked = Sequencer::check(log, tree, clock.clone(), key(dir)).await.unwrap();
    let config = audit::Config::default();
    let journal =
        Arc::new(Journal::start(Arc::clone(&store.events), clock.clone(), checked.tagger(), config));
    let mut ids = Vec::new();
    for _ in 0..count.div_ceil(100) {
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..count.min(100) {
            let (journal, correlation) = (Arc::clone(&journal), correlation.parse().unwrap());
            let event = Event { correlation, ..Event::for_service(AuditOperation::Start, clock.now()) };
            callers.spawn(async move { journal.commit(JournalEntry::event_only(event)).await.unwrap() });
        }
        ids.extend(callers.join_all().await);
    }
    journal.close().await;
    checked.start().await.unwrap().close().await;
    ids.sort();
    ids
}

async fn check(dir: &TempDir, kept_checkpoint: Option<&str>) -> Report {
    let open = store::open_reader(&config(dir)).await.unwrap();
    let verifiers = [key(dir).verifier().to_owned()];
    let kept_checkpoint =
        kept_checkpoint.map(|note| checkpoint::read(note.as_bytes(), ORIGIN, &verifiers).unwrap());
    let against = TrustAnchor {
        origin: ORIGIN,
        verifiers: &verifiers,
        kept_checkpoint: kept_checkpoint.as_ref(),
        archive: None,
        key_file: None,
    };
    verify(&*open.log, &*open.tree, &against, |_| {}).await.unwrap()
}

async fn newest(dir: &TempDir) -> String {
    let open = store::open_reader(&config(dir)).await.unwrap();
    open.tree.checkpoint().await.unwrap().unwrap().note
}

/// Changes the file as someone with write access could.
async fn tamper(dir: &TempDir, sql: &str) {
    let mut file = Database::open_as_text(dir.path()).await;
    file.run(sql).await;
    file.close().await;
}

fn copy(from: &TempDir) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

#[tokio::test]
async fn an_unchanged_log_matches_every_checkpoint_that_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept_notes = Vec::new();
    for count in [1, 100, 100, 500] {
        grow(&dir, count, "call").await;
        kept_notes.push(newest(&dir).await);
    }
    let whole = Report { events: 701, signed: 701, ..Report::default() };
    assert_eq!(check(&dir, None).await, whole);
    for note in &kept_notes {
        assert_eq!(check(&dir, Some(note)).await, whole);
    }
}

#[tokio::test]
async fn every_change_of_the_log_is_found_with_its_position() {
    let dir = tempfile::tempdir().unwrap();
    grow(&dir, 700, "call").await;
    let altered = "UPDATE event SET body = replace(body, 'Informational', 'Unimportant!!') WHERE seq = 300";
    let cases: &[(&str, &[Finding])] = &[
        (altered, &[Finding::Altered { seq: 300 }]),
        ("DELETE FROM event WHERE seq BETWEEN 10 AND 12", &[Finding::Removed { first: 10, last: 12 }]),
        ("DELETE FROM event WHERE seq > 690", &[Finding::Removed { first: 691, last: 700 }]),
        (
            "CREATE TEMP TABLE two AS SELECT seq, body FROM event WHERE seq IN (5, 600); \
             UPDATE event SET body = (SELECT body FROM two WHERE two.seq = 605 - event.seq) WHERE seq IN (5, 600)",
            &[Finding::Reordered { seq: 5, signed_at: 600 }, Finding::Reordered { seq: 600, signed_at: 5 }],
        ),
        (
            "DELETE FROM tile WHERE level = 1",
            &[Finding::Rehashed { first: 1, last: 256 }, Finding::Rehashed { first: 257, last: 512 }],
        ),
    ];
    for (sql, findings) in cases {
        let copy = copy(&dir);
        tamper(&copy, sql).await;
        assert_eq!(check(&copy, None).await.findings, *findings, "{sql}");
    }
}

#[tokio::test]
async fn every_index_column_is_checked_against_the_event() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = (store::open(&config(&dir)).await.unwrap(), clock());
    sequence(&store, key(&dir)).await.unwrap();
    let (tagger, journal_config) = (audit::BatchTagger::new(&key(&dir)), audit::Config::default());
    let journal = Journal::start(Arc::clone(&store.events), clock.clone(), tagger, journal_config);
    let actor = Actor { tenant: Some("payments".parse().unwrap()), ..Actor::default() };
    let event = Event { actor, ..Event::for_service(AuditOperation::Start, clock.now()) };
    journal.commit(JournalEntry::event_only(event)).await.unwrap();
    journal.close().await;
    sequence(&store, key(&dir)).await.unwrap();
    drop(store);
    assert_eq!(check(&dir, None).await.findings, []);
    let changes = [
        ("id", "UPDATE batch SET least = zeroblob(16), most = zeroblob(16)"),
        ("id", "UPDATE batch SET least = randomblob(17), most = x'00'"),
        ("time", "UPDATE batch SET since = since + 1"),
        ("time", "UPDATE batch SET until = until - 1"),
        ("tenant", "UPDATE batch_of_tenant SET tenant = 'other'"),
        ("tenant", "UPDATE batch_of_tenant SET first = first + 1"),
        ("correlation", "DELETE FROM batch_of_call"),
        ("id, tenant, time, correlation", "DELETE FROM batch"),
        ("id, tenant, time, correlation, place", "UPDATE batch SET first = first + 1"),
        ("id, tenant, time, correlation", "UPDATE batch SET last = first - 1"),
        (
            "place",
            "INSERT INTO batch (first, last, since, until, least, most) VALUES (1 << 62, 0, 0, 0, x'', x'')",
        ),
        ("place", "INSERT INTO batch (first, last, since, until, least, most) VALUES (0, 1, 0, 0, x'', x'')"),
    ];
    for (names, sql) in changes {
        let copy = copy(&dir);
        tamper(&copy, sql).await;
        let wrong = Finding::Mislabelled { seq: 1, columns: names.into() };
        assert_eq!(check(&copy, None).await.findings, [wrong], "{sql}");
    }
}

#[tokio::test]
async fn an_event_changed_with_its_hash_is_found_by_the_parent_hashes() {
    let dir = tempfile::tempdir().unwrap();
    grow(&dir, 700, "call").await;
    for (seq, finding) in
        [(300_u64, Finding::Rehashed { first: 257, last: 512 }), (690, Finding::Root { size: 700 })]
    {
        let copy = copy(&dir);
        let open = store::open_reader(&config(&copy)).await.unwrap();
        let event = open.log.after(seq - 1, 1).await.unwrap().remove(0);
        let mut tile = open.tree.tiles(&[(0, (seq - 1) / 256)]).await.unwrap().remove(0);
        let body = event.body.replace("Informational", "Unimportant!!");
        let at = usize::try_from((seq - 1) % 256).unwrap() * 32;
        tile.hashes[at..at + 32].copy_from_slice(&tlog_tiles::record_hash(body.as_bytes()).0);
        let mut file = sqlx::SqliteConnection::connect(&config(&copy).url).await.unwrap();
        sqlx::query("UPDATE event SET body = $1, packed = NULL WHERE seq = $2")
            .bind(&body)
            .bind(i64::try_from(seq).unwrap())
            .execute(&mut file)
            .await
            .unwrap();
        sqlx::query("UPDATE tile SET hashes = $1 WHERE level = 0 AND place = $2")
            .bind(tile.hashes)
            .bind(i64::try_from(tile.index).unwrap())
            .execute(&mut file)
            .await
            .unwrap();
        file.close().await.unwrap();
        let found = check(&copy, None).await.findings;
        assert_eq!(found.first(), Some(&finding), "{found:?}");
    }
}

#[tokio::test]
async fn a_kept_checkpoint_reveals_a_rollback_and_a_fork() {
    let dir = tempfile::tempdir().unwrap();
    grow(&dir, 300, "call").await;
    let old = copy(&dir);
    grow(&dir, 100, "what-happened").await;
    let kept_checkpoint = newest(&dir).await;
    assert_eq!(check(&old, None).await.findings, [], "an older copy on its own is whole");
    let rolled_back = Finding::RolledBack { stored_size: 400, now: 300 };
    assert_eq!(check(&old, Some(&kept_checkpoint)).await.findings, [rolled_back]);
    grow(&old, 200, "what-did-not").await;
    assert_eq!(check(&old, Some(&kept_checkpoint)).await.findings, [Finding::Forked { size: 400 }]);
}

#[tokio::test]
async fn a_checkpoint_with_another_signature_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    grow(&dir, 10, "call").await;
    tamper(&dir, "UPDATE checkpoint SET note = replace(note, 'logkey.test', 'logkey.fake')").await;
    let findings = check(&dir, None).await.findings;
    assert!(matches!(&findings[..], [Finding::Checkpoint(_)]), "{findings:?}");
    tamper(&dir, "DELETE FROM checkpoint").await;
    assert!(matches!(&check(&dir, None).await.findings[..], [Finding::Checkpoint(_)]));
}

#[tokio::test]
async fn a_log_that_does_not_match_its_checkpoint_is_not_continued() {
    let dir = tempfile::tempdir().unwrap();
    grow(&dir, 300, "call").await;
    let changes: [(&str, IsExpected); 4] = [
        ("DELETE FROM tile WHERE level = 0 AND place = 1", |reason| {
            matches!(reason, sequencer::Corruption::Tree { size: 300 })
        }),
        ("UPDATE event SET body = '{}' WHERE seq = 299", |reason| {
            matches!(reason, sequencer::Corruption::Event { seq: 299 })
        }),
        ("DELETE FROM event WHERE seq = 300", |reason| {
            matches!(reason, sequencer::Corruption::Event { seq: 300 })
        }),
        ("UPDATE checkpoint SET note = note || 'x'", |reason| {
            matches!(reason, sequencer::Corruption::Checkpoint(_))
        }),
    ];
    for (sql, is_expected) in changes {
        let copy = copy(&dir);
        tamper(&copy, sql).await;
        let store = store::open(&config(&copy)).await.unwrap();
        let broken = sequence(&store, key(&copy)).await.unwrap_err();
        assert!(is_expected(&broken), "{sql}: {broken:?}");
    }
}

#[tokio::test]
async fn proofs_lead_to_the_signed_root() {
    let dir = tempfile::tempdir().unwrap();
    grow(&dir, 300, "call").await;
    let older = newest(&dir).await;
    grow(&dir, 400, "call").await;
    let verifiers = [key(&dir).verifier().to_owned()];
    let note = newest(&dir).await;
    let [new, old] =
        [&note, &older].map(|note| checkpoint::read(note.as_bytes(), ORIGIN, &verifiers).unwrap());
    let open = store::open_reader(&config(&dir)).await.unwrap();
    for seq in [1, 2, 256, 257, 512, 513, 699, 700] {
        let event = open.log.after(seq - 1, 1).await.unwrap().remove(0);
        let proof = prove::inclusion(&*open.tree, seq, 700).await.unwrap();
        let leaf = tlog_tiles::record_hash(event.body.as_bytes());
        tlog_tiles::check_record(&proof, 700, *new.hash(), seq - 1, leaf).unwrap();
        let other = tlog_tiles::record_hash(b"something else");
        assert!(tlog_tiles::check_record(&proof, 700, *new.hash(), seq - 1, other).is_err());
    }
    let proof = prove::consistency(&*open.tree, 300, 700).await.unwrap();
    tlog_tiles::check_tree(&proof, 700, *new.hash(), 300, *old.hash()).unwrap();
    assert!(prove::inclusion(&*open.tree, 701, 700).await.is_err());
    assert!(prove::inclusion(&*open.tree, 0, 700).await.is_err());
    assert!(prove::consistency(&*open.tree, 701, 700).await.is_err());
}

#[tokio::test]
async fn an_export_holds_every_event_and_the_tree_hashes() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    grow(&dir, 600, "call").await;
    let (note, key) = (newest(&dir).await, key(&dir));
    let read = checkpoint::read(note.as_bytes(), ORIGIN, &[key.verifier().to_owned()]).unwrap();
    let open = store::open_reader(&config(&dir)).await.unwrap();
    let signed = Signed { checkpoint: &read, note: &note, verifiers: &key.verifiers(), handovers: &[] };
    export::export(&*open.log, None, &signed, out.path()).await.unwrap();
    let mut bytes = Vec::new();
    for bundle in ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"] {
        bytes.extend(std::fs::read(out.path().join(bundle)).unwrap());
    }
    let mut seq = 0;
    let mut rest = &bytes[..];
    while let [high, low, after @ ..] = rest {
        let (body, next) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        let event = open.log.after(seq, 1).await.unwrap().remove(0);
        assert_eq!(event.body.as_bytes(), body);
        (rest, seq) = (next, event.seq);
    }
    assert_eq!(seq, 600);
    for (file, hashes) in [("tile/0/000", 256), ("tile/0/002.p/88", 88), ("tile/1/000.p/2", 2)] {
        assert_eq!(std::fs::metadata(out.path().join(file)).unwrap().len(), hashes * 32, "{file}");
    }
    assert_eq!(std::fs::read_to_string(out.path().join("checkpoint")).unwrap(), note);
}

#[tokio::test]
async fn changes_without_an_outcome_are_pending_until_reconciled() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = (store::open(&config(&dir)).await.unwrap(), clock());
    let (tagger, journal_config) = (audit::BatchTagger::new(&key(&dir)), audit::Config::default());
    let journal = Journal::start(Arc::clone(&store.events), clock.clone(), tagger, journal_config);
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let resource = Resource { location, target: Target::LogGroup("/app/web#1".parse().unwrap()) };
    let change = |kind| Event {
        kind,
        act: AuditOperation::Rpc(Action::AssociateKmsKey),
        resource: Some(resource.clone()),
        ..Event::for_service(AuditOperation::Start, clock.now())
    };
    let commit = async |event| journal.commit(JournalEntry::event_only(event)).await.unwrap();
    let completion = |failure| Completion { failure, aws_error: None, latency: std::time::Duration::ZERO };

    let done = commit(change(Kind::Intent)).await;
    let crashed = commit(change(Kind::Intent)).await;
    let unanswered = commit(change(Kind::Intent)).await;
    let outcome = |intent, failure| Event {
        closes: Some(intent),
        end: Some(completion(failure)),
        ..change(Kind::Outcome)
    };
    commit(outcome(done, None)).await;
    commit(outcome(unanswered, Some(Reason::OutcomeUnknown))).await;

    let open = async |before| {
        let found = PendingChangeReader::new(Arc::clone(&store.log)).list_pending(before).await.unwrap();
        found.into_iter().map(|change| change.intent).collect::<Vec<_>>()
    };
    assert_eq!(open(clock.now()).await, [crashed, unanswered]);
    assert_eq!(open(Timestamp::from_secs(1)).await, []);
    let found =
        PendingChangeReader::new(Arc::clone(&store.log)).list_pending(clock.now()).await.unwrap().remove(0);
    assert_eq!(found.event.resource, Some(resource.clone()));
    assert_eq!(found.event.act, AuditOperation::Rpc(Action::AssociateKmsKey));

    for intent in [crashed, unanswered] {
        let reconciled =
            Event { closes: Some(intent), ..change(Kind::Reconciled(ReconciliationResult::Indeterminate)) };
        commit(reconciled).await;
    }
    assert_eq!(open(clock.now()).await, []);

    // The next search starts where this one ended, and finds everything that was added since.
    let late = commit(change(Kind::Intent)).await;
    assert_eq!(open(clock.now()).await, [late]);
    assert_eq!(open(clock.now()).await, [late]);
    commit(Event { closes: Some(late), ..change(Kind::Reconciled(ReconciliationResult::Effective)) }).await;
    assert_eq!(open(clock.now()).await, []);
}

#[tokio::test]
async fn a_flood_under_one_request_id_hides_no_outcome_and_no_reconciliation() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = (store::open(&config(&dir)).await.unwrap(), clock());
    let tagger = audit::BatchTagger::new(&key(&dir));
    let journal = Journal::start(Arc::clone(&store.events), clock.clone(), tagger, audit::Config::default());
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let change = |kind| Event {
        kind,
        act: AuditOperation::Rpc(Action::AssociateKmsKey),
        correlation: "chosen".parse().unwrap(),
        actor: Actor { tenant: Some("payments".parse().unwrap()), ..Actor::default() },
        resource: Some(Resource { location: location.clone(), target: Target::QueryResults }),
        ..Event::for_service(AuditOperation::Start, clock.now())
    };
    let commit = async |event| journal.commit(JournalEntry::event_only(event)).await.unwrap();
    let intent = commit(change(Kind::Intent)).await;
    let end = Some(Completion { failure: None, aws_error: None, latency: std::time::Duration::ZERO });
    let outcome = commit(Event { closes: Some(intent), end, ..change(Kind::Outcome) }).await;
    let reconciled = Kind::Reconciled(ReconciliationResult::Effective);
    let reconciled = commit(Event { closes: Some(intent), ..change(reconciled) }).await;
    for _ in 0..1100 {
        journal.record_best_effort(change(Kind::Read));
    }
    commit(change(Kind::Read)).await;
    let reader = PendingChangeReader::new(Arc::clone(&store.log));
    let (tenant, id) = ("payments".parse().unwrap(), "chosen".parse().unwrap());
    let found = reader.by_request_id(&tenant, &id).await.unwrap().unwrap();
    assert_eq!((found.change.intent, found.outcome.unwrap().event), (intent, outcome));
    let by_change = reader.reconciliation_of(&found.change).await.unwrap();
    assert_eq!(by_change, Some((ReconciliationResult::Effective, reconciled)));
    journal.close().await;
}

#[tokio::test]
async fn the_log_of_a_service_that_just_started_verifies() {
    let service = Service::start().await;
    let settings = Settings::load(&service.settings(), &EmptyEnv).unwrap();
    let open = store::open_reader(&settings.store.config).await.unwrap();
    let file = settings.store.config.file().unwrap();
    let origin = &settings.audit.checkpoint_origin;
    let key = SigningKey::open(&checkpoint::default_key_path(&file), origin).unwrap();
    let verifiers = [key.verifier().to_owned()];
    let against =
        TrustAnchor { origin, verifiers: &verifiers, kept_checkpoint: None, archive: None, key_file: None };
    let report = verify(&*open.log, &*open.tree, &against, |_| {}).await.unwrap();
    assert!(report.findings.is_empty() && report.signed >= 1, "{report:?}");
    service.stop().await;
}
