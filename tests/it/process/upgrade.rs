//! A store of a release before d553433, whose upgrade rewrites every event, is killed while it is upgraded.

use std::{borrow::Cow, time::Instant};

use sqlx::{
    ConnectOptions as _, Connection as _, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};

use super::*;
use crate::{
    audit_commands_offline::audit,
    audit_tampering::forger::{Database, ForeignKey},
};

/// The number of events if `LOGKEY_UPGRADE_EVENTS` does not say another one.
const EVENTS: u64 = 60_000;
/// The schema with one row of columns for each event.
const MIGRATIONS: [&str; 4] = [
    include_str!("../../../src/store/migrations/sqlite/0001_events.sql"),
    include_str!("../../../src/store/migrations/sqlite/0002_history.sql"),
    include_str!("../../../src/store/migrations/sqlite/0003_handover.sql"),
    include_str!("../../../src/store/migrations/sqlite/0004_sinks.sql"),
];
const NAMES: [&str; 4] = ["events", "history", "handover", "sinks"];
/// About as many bytes as an event of a change has.
const INSERT_SQL: &str = "\
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < $1)
INSERT INTO event (seq, id, time, kind, action, correlation, body)
SELECT n, unhex(printf('%08x0000700080000000%08x', n, n)), n * 1000000, 'lifecycle', 'Reload', 'call-' || n,
    json_object(
        'time', n * 1000, 'status_id', 1,
        'metadata', json_object('uid', printf('%08x-0000-7000-8000-0000%08x', n, n),
            'correlation_uid', 'call-' || n, 'event_code', 'lifecycle'),
        'api', json_object('operation', 'Reload'), 'cloud', json_object('provider', 'AWS'),
        'message', printf('%.1200c', 'x'),
        'unmapped', json_object('logkey', json_object('time_us', n * 1000000)))
FROM number";

#[expect(clippy::disallowed_methods, reason = "the number of events is no setting of the service")]
fn event_count() -> u64 {
    std::env::var("LOGKEY_UPGRADE_EVENTS").map_or(EVENTS, |count| count.parse().unwrap())
}

/// Writes a store whose first event has a checkpoint. The release that wrote it ended before the next one.
async fn create_old_store(folder: &Path) {
    let path = folder.join("logkey.db");
    let mut file =
        SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
    let migrations = (1..).zip(NAMES.into_iter().zip(MIGRATIONS)).map(|(number, (name, sql))| {
        Migration::new(number, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    migrator.run_direct(None, &mut file, false).await.unwrap();
    let count = i64::try_from(event_count()).unwrap();
    sqlx::query(INSERT_SQL).bind(count).execute(&mut file).await.unwrap();
    let first: Vec<String> =
        sqlx::query_scalar("SELECT body FROM event WHERE seq = 1").fetch_all(&mut file).await.unwrap();
    file.close().await.unwrap();
    let mut file = Database::open(folder).await;
    let root = file.rebuild_tiles(&first).await;
    let key = ForeignKey::create(&checkpoint::default_key_path(&path), "logkey");
    file.store_note(1, &key.sign_with("logkey", 1, root, ""), false).await;
    file.close().await;
}

/// A service that starts. It is killed on drop.
struct Starting {
    child: KillOnDrop,
    admin: SocketAddr,
}

/// What `/startupz` answers.
#[derive(Debug, PartialEq)]
enum Startup {
    Started,
    /// The position up to which the events are rewritten.
    Upgrading(u64),
    Other,
}

/// The first and the last position of the upgrade that `/startupz` showed, and when.
#[derive(Debug)]
struct Observed {
    first: Option<(u64, Instant)>,
    last: Option<(u64, Instant)>,
    is_started: bool,
}

impl Starting {
    fn spawn(folder: &Path) -> Self {
        let [grpc, admin] = free_addresses().unwrap();
        let config = settings(folder, grpc, admin);
        Self { child: KillOnDrop(serving(Path::new(&config)).spawn().unwrap()), admin }
    }

    async fn startup(&self) -> Startup {
        let Ok(answer) = reqwest::get(format!("http://{}/startupz", self.admin)).await else {
            return Startup::Other;
        };
        if answer.status().is_success() {
            return Startup::Started;
        }
        let text = answer.text().await.unwrap();
        let position = text.split_once("step 5 of ").and_then(|(_, rest)| rest.split_once(", position "));
        let position = position.and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        position.map_or(Startup::Other, Startup::Upgrading)
    }

    /// Waits until the upgrade has reached a position or the start is complete.
    async fn wait_for(&self, position: u64) -> Observed {
        let (mut first, mut last, mut is_started) = (None, None, false);
        // 4 minutes.
        for _ in 0..24_000 {
            match self.startup().await {
                Startup::Started => is_started = true,
                Startup::Upgrading(at) => {
                    last = Some((at, Instant::now()));
                    first = first.or(last);
                }
                Startup::Other => {}
            }
            if is_started || last.is_some_and(|(at, _)| at >= position) {
                return Observed { first, last, is_started };
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("timed out waiting for position {position}: {last:?}");
    }
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "docs/upgrade.md has the duration")]
async fn an_upgrade_whose_process_is_killed_completes_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    create_old_store(folder.path()).await;
    let (count, file) = (event_count(), folder.path().join("logkey.db"));
    let original = folder.path().join("original.db");
    std::fs::copy(&file, &original).unwrap();
    let (mut kills, mut reached) = (0, 0);
    for _attempt in 0..20 {
        if kills == 3 {
            break;
        }
        let service = Starting::spawn(folder.path());
        let observed = service.wait_for(count * (kills + 1) / 5).await;
        // This kills it with SIGKILL.
        drop(service);
        if observed.is_started {
            // It was faster than this test. Begin again.
            for name in ["logkey.db-wal", "logkey.db-shm"] {
                std::fs::remove_file(folder.path().join(name)).unwrap_or_default();
            }
            std::fs::copy(&original, &file).unwrap();
            (kills, reached) = (0, 0);
            continue;
        }
        let (first, last) = (observed.first.unwrap().0, observed.last.unwrap().0);
        assert!(first >= reached, "it lost work: it had reached {reached}, then it was at {first}");
        (kills, reached) = (kills + 1, last);
    }
    assert_eq!(kills, 3, "the upgrade always ended before it could be killed");
    let mut service = Starting::spawn(folder.path());
    let observed = service.wait_for(u64::MAX).await;
    if let (Some(first), Some(last)) = (observed.first, observed.last) {
        assert!(first.0 >= reached, "it lost work: it had reached {reached}, then it was at {}", first.0);
        eprintln!("{} events took {:?}", last.0 - first.0, last.1 - first.1);
    }
    send_signal(&service.child, "-TERM");
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
    let (code, output) = audit(folder.path(), &["verify"]);
    assert!(code == Some(0) && output.contains("intact: "), "{output}");
}
