//! Rows that no replica of this release wrote: those of somebody else, and those of the previous release.

use std::sync::Arc;

use logkey::{
    app::SystemClock,
    audit::{
        self, BatchTagger, Journal, Sequencer,
        checkpoint::SigningKey,
        sequencer::{Corruption, VerifiedSequencer},
        verify::{Report, TrustAnchor, TrustedLog, verify},
    },
    domain::audit::{AuditOperation, Event, JournalEntry},
    ports::{AuditLog as _, Clock as _},
    store::{self, Store},
};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    audit_tampering::forger::{ForeignKey, archive, root},
    harness::Postgres,
};

pub(super) const ORIGIN: &str = "logkey";
/// The statements of the previous release.
const OLD_RECOVER: &str = "SELECT recover($1::uuid, $2::uuid, $3::uuid)";
const OLD_APPEND: &str = "\
SELECT append($1::uuid, $2::uuid, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
              $13::jsonb, $14::jsonb, $15, $16::jsonb)";

pub(super) async fn open(postgres: &Postgres) -> Store {
    store::open(&store::Config { url: postgres.url() }).await.unwrap()
}

fn key(postgres: &Postgres) -> SigningKey {
    SigningKey::open(&postgres.key_file(), ORIGIN).unwrap()
}

pub(super) async fn check(postgres: &Postgres, store: &Store) -> Result<VerifiedSequencer, Corruption> {
    let (log, tree) = (Arc::clone(&store.log), Arc::clone(&store.tree));
    Sequencer::check(log, tree, Arc::new(SystemClock), key(postgres)).await
}

/// Appends events without signing them.
async fn append(store: &Store, tagger: Arc<BatchTagger>, count: usize) {
    let (clock, config) = (Arc::new(SystemClock), audit::Config::default());
    let journal = Journal::start(Arc::clone(&store.events), clock, tagger, config);
    for _ in 0..count {
        let event = Event::for_service(AuditOperation::Start, SystemClock.now());
        journal.commit(JournalEntry::event_only(event)).await.unwrap();
    }
    journal.close().await;
}

/// A log with ten signed events.
async fn log(postgres: &Postgres) {
    let store = open(postgres).await;
    let checked = check(postgres, &store).await.unwrap();
    append(&store, checked.tagger(), 10).await;
    checked.start().await.unwrap().close().await;
}

pub(super) async fn verified(postgres: &Postgres) -> Report {
    let open = store::open_reader(&store::Config { url: postgres.url() }).await.unwrap();
    let (verifiers, key_file) = (key(postgres).verifiers(), postgres.key_file());
    let against = TrustAnchor {
        origin: ORIGIN,
        verifiers: &verifiers,
        kept_checkpoint: None,
        archive: None,
        key_file: Some(&key_file),
    };
    verify(&*open.log, &*open.tree, &against, |_| {}).await.unwrap()
}

async fn run(session: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(session).await.unwrap();
}

/// Inserts a row as the next event, as somebody does who knows how positions are given.
async fn insert(session: &mut PgConnection, body: &str) {
    let insert = "\
WITH next AS (UPDATE log SET last = last + 1 RETURNING last)
INSERT INTO event (seq, id, time, kind, action, correlation, outcome, body)
SELECT last, ($1::json #>> '{metadata,uid}')::uuid, 1700000000000000, 'lifecycle',
       $1::json #>> '{api,operation}', $1::json #>> '{metadata,correlation_uid}', 'OK', $1 FROM next";
    sqlx::query(insert).bind(body).execute(session).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_somebody_else_are_neither_signed_nor_trusted() {
    let postgres = Postgres::start().await;
    log(&postgres).await;
    assert_eq!(verified(&postgres).await.findings, []);
    let mut session = postgres.session("logkey").await;
    let folder = tempfile::tempdir().unwrap();
    let foreign = ForeignKey::create(&folder.path().join("foreign.pem"), ORIGIN);
    let own = key(&postgres).verifiers();
    for body in [foreign.rotation(&own[0]), archive(8, "x")] {
        insert(&mut session, &body).await;
        let store = open(&postgres).await;
        let refused = check(&postgres, &store).await.err().unwrap();
        assert!(matches!(refused, Corruption::Foreign { seq: 11 }), "{refused:?}");
        drop(store);
        let found = verified(&postgres).await;
        assert!(found.findings[0].to_string().starts_with("events 11 to 11 are not covered"), "{found:?}");
        let open = store::open_reader(&store::Config { url: postgres.url() }).await.unwrap();
        let trusted = TrustedLog::load(&*open.log, &*open.tree, ORIGIN, &own, None).await.unwrap();
        assert_eq!(trusted.verifiers, own);
        run(&mut session, "DELETE FROM event WHERE seq > 10; UPDATE log SET last = 10").await;
    }
    assert_eq!(verified(&postgres).await.findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_or_moved_batch_is_found() {
    let postgres = Postgres::start().await;
    log(&postgres).await;
    let store = open(&postgres).await;
    let (first, second) = (check(&postgres, &store).await.unwrap(), open(&postgres).await);
    // Two replicas append; neither is signed yet.
    append(&store, first.tagger(), 2).await;
    let tagger = BatchTagger::new(&key(&postgres));
    append(&second, tagger, 2).await;
    drop((first, store, second));
    let whole = verified(&postgres).await;
    assert_eq!((whole.findings, whole.unsigned.unwrap().count), (Vec::new(), 4));
    let mut session = postgres.session("logkey").await;
    run(&mut session, "ALTER TABLE event DROP CONSTRAINT event_id_key").await;
    for again in [5, 11, 14] {
        let replay = format!(
            "INSERT INTO event SELECT 15, id, time, tenant, kind, action, account, correlation, outcome, closes, body \
             FROM event WHERE seq = {again}; \
             INSERT INTO batch_tag SELECT 15, 15, after, tag FROM batch_tag WHERE first = {again}; \
             UPDATE log SET last = 15"
        );
        run(&mut session, &replay).await;
        let found = verified(&postgres).await.findings;
        assert!(found[0].to_string().starts_with("events 15 to 15 are not"), "{again}: {found:?}");
        run(&mut session, "DELETE FROM event WHERE seq = 15; DELETE FROM batch_tag WHERE first = 15; UPDATE log SET last = 14").await;
    }
}

/// Appends an event with the statements of the previous release.
pub(super) async fn append_like_before(session: &mut PgConnection, number: u64) -> Result<(), sqlx::Error> {
    let process = uuid::Uuid::from_u128(1).to_string();
    let body = archive(number, "x");
    let body =
        body.replace(&format!("\"archived_last\":{number},\"archived_root\":\"x\""), "\"grpc_code\":\"OK\"");
    let event: serde_json::Value = serde_json::from_str(&body).unwrap();
    let text =
        |field: &str| event.pointer(&format!("/metadata/{field}")).unwrap().as_str().unwrap().to_owned();
    let none = None::<String>;
    sqlx::query(OLD_RECOVER).bind(&process).bind(&process).bind(&none).execute(&mut *session).await?;
    let append = sqlx::query(OLD_APPEND)
        .bind(&process)
        .bind(&process)
        .bind(vec![text("uid")])
        .bind(vec![1_700_000_000_000_000_i64])
        .bind(vec![none.clone()])
        .bind(vec!["lifecycle"])
        .bind(vec!["Archive"])
        .bind(vec![none.clone()])
        .bind(vec![text("correlation_uid")])
        .bind(vec!["OK"])
        .bind(vec![none.clone()])
        .bind(vec![body])
        .bind(&none)
        .bind(&none)
        .bind(i64::MIN)
        .bind(&none);
    append.execute(session).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_the_previous_release_may_write_until_they_are_gone() {
    let postgres = Postgres::start().await;
    let store = open(&postgres).await;
    let mut old = postgres.session("logkey").await;
    for number in 1..=3 {
        append_like_before(&mut old, number).await.unwrap();
    }
    // The previous release signed these events.
    let leaves: Vec<_> = store.log.after(0, 10).await.unwrap();
    let leaves: Vec<_> = leaves.iter().map(|event| tlog_tiles::record_hash(event.body.as_bytes())).collect();
    let signer = ForeignKey::create(&postgres.key_file(), ORIGIN);
    let note = signer.sign_with(ORIGIN, 3, root(&leaves), "");
    let hashes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
    let mut session = postgres.session("logkey").await;
    sqlx::query("INSERT INTO tile VALUES (0, 0, $1)").bind(hashes).execute(&mut session).await.unwrap();
    sqlx::query("INSERT INTO checkpoint VALUES (3, 1, $1, false)")
        .bind(note)
        .execute(&mut session)
        .await
        .unwrap();

    // A new replica leads, and the old one goes on.
    let newest = async || store.tree.checkpoint().await.unwrap().unwrap();
    let sequencer = check(&postgres, &store).await.unwrap().start().await.unwrap();
    append_like_before(&mut old, 4).await.unwrap();
    super::until("a checkpoint over its event", async || newest().await.size == 4).await;
    assert!(!newest().await.note.contains("logkey-format-2-after"));
    // The old one ends.
    sqlx::Connection::close(old).await.unwrap();
    super::until("the new format", async || newest().await.note.contains("logkey-format-2-after 4\n")).await;
    let mut late = postgres.session("logkey").await;
    let refused = append_like_before(&mut late, 5).await.unwrap_err();
    assert!(refused.to_string().contains("append"), "{refused}");
    sequencer.close().await;
    assert_eq!(verified(&postgres).await.findings, []);
}
