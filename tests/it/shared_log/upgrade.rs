//! Replicas of the previous release write while the first replica of this release upgrades the schema, and after that.

use std::{borrow::Cow, sync::Arc};

use sqlx::{
    PgConnection, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};
use tokio::sync::oneshot;

use super::forgery::{ORIGIN, append_like_before, check, open, verified};
use crate::{
    audit_tampering::forger::{ForeignKey, root},
    harness::Postgres,
};

/// The schema of the previous release, d553433.
const MIGRATIONS: [(&str, &str); 3] = [
    ("log", include_str!("../../../src/store/migrations/postgres/0001_log.sql")),
    ("history", include_str!("../../../src/store/migrations/postgres/0002_history.sql")),
    ("append", include_str!("../../../src/store/migrations/postgres/0003_append.sql")),
];
/// The other statements by which a replica of the previous release writes.
const OLD_GROW: &str = "SELECT grow($1, $2, $3, $4, $5, $6, $7, $8)";
const OTHER_OLD_STATEMENTS: [&str; 6] = [
    "SELECT keep_known('[[\"111122223333\", \"eu-west-1\", \"/a\", null, null, null, 1, null, null]]'::jsonb)",
    "SELECT surveyed('111122223333', 'eu-west-1', 1, 2, 3)",
    "SELECT enlist('{a}')",
    "SELECT 1 / reached('a', 0, 0, 2, 0)::int",
    "UPDATE fact SET value = greatest(value, 1) WHERE name = 'settled_before' AND value <= 1 - 1",
    "DELETE FROM event WHERE seq <= 0",
];

async fn create_old_schema(session: &mut PgConnection) {
    let migrations = (1..).zip(MIGRATIONS).map(|(number, (name, sql))| {
        Migration::new(number, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    migrator.run_direct(None, session, false).await.unwrap();
}

async fn run_other_statements(session: &mut PgConnection) {
    for sql in OTHER_OLD_STATEMENTS {
        sqlx::query(sql).execute(&mut *session).await.unwrap();
    }
    sqlx::query("DELETE FROM sink").execute(session).await.unwrap();
}

/// Extends the tree to all events, as a leader of the previous release does.
async fn sign_like_before(session: &mut PgConnection, postgres: &Postgres) {
    let bodies: Vec<String> =
        sqlx::query_scalar("SELECT body FROM event ORDER BY seq").fetch_all(&mut *session).await.unwrap();
    let leaves: Vec<_> = bodies.iter().map(|body| tlog_tiles::record_hash(body.as_bytes())).collect();
    let base: Option<String> = sqlx::query_scalar("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1")
        .fetch_optional(&mut *session)
        .await
        .unwrap();
    let size = i64::try_from(leaves.len()).unwrap();
    assert!(size < 256, "one tile");
    let signer = ForeignKey::create(&postgres.key_file(), ORIGIN);
    let note = signer.sign_with(ORIGIN, leaves.len().try_into().unwrap(), root(&leaves), "");
    let grow = sqlx::query(OLD_GROW).bind(vec![0_i64]).bind(vec![0_i64]);
    let grow = grow.bind(vec![leaves.iter().flat_map(|leaf| leaf.0).collect::<Vec<u8>>()]);
    grow.bind(size).bind(1_i64).bind(note).bind(false).bind(base).execute(session).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_previous_release_writes_while_and_after_the_schema_is_upgraded() {
    let postgres = Arc::new(Postgres::start().await);
    let mut old = postgres.session("logkey").await;
    create_old_schema(&mut old).await;
    append_like_before(&mut old, 1).await.unwrap();
    sign_like_before(&mut old, &postgres).await;
    run_other_statements(&mut old).await;
    // One session goes on all the time, with the statements that it prepared before the upgrade.
    let (stop, mut stopped) = oneshot::channel();
    let (append_count, mut appended) = tokio::sync::watch::channel(1);
    let writer = tokio::spawn(async move {
        let mut number = 1;
        while number < 200 && stopped.try_recv().is_err() {
            number += 1;
            append_like_before(&mut old, number).await.unwrap();
            append_count.send_replace(number);
        }
        old
    });
    let store = open(&postgres).await;
    let at_upgrade = *appended.borrow();
    appended.wait_for(|count| *count == 200 || *count > at_upgrade + 3).await.unwrap();
    stop.send(()).unwrap_or_default();
    let mut old = writer.await.unwrap();
    // The replica of the previous release may still lead.
    sign_like_before(&mut old, &postgres).await;
    run_other_statements(&mut old).await;
    append_like_before(&mut old, 201).await.unwrap();
    sqlx::Connection::close(old).await.unwrap();
    let sequencer = check(&postgres, &store).await.unwrap().start().await.unwrap();
    let newest = async || store.tree.checkpoint().await.unwrap().unwrap();
    super::until("the new format", async || newest().await.note.contains("logkey-format-2-after")).await;
    sequencer.close().await;
    let report = verified(&postgres).await;
    assert_eq!((report.findings, report.events > at_upgrade), (Vec::new(), true));
}
