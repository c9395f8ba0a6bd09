use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use uuid::Uuid;

use super::*;
use crate::{
    domain::{audit::EventId, time::Timestamp},
    ports::{EventFilter, EventReader as _, upgrade::UpgradeProgress},
    store::{
        migrate,
        sqlite::{Reader, Sqlite, upgrade},
    },
};

/// The number of events before the upgrade.
const EVENT_COUNT: u32 = 150;

const INSERT_SQL: &str = "\
INSERT INTO event (seq, id, time, tenant, kind, action, account, correlation, outcome, closes, body)
VALUES ($1, $2, $1 * 1000000, $3, 'intent', 'Start', NULL, $4, NULL, NULL, $5)";

fn id(number: u32) -> EventId {
    EventId(Uuid::from_u128(number.into()))
}

/// Creates a store with the schema before the index of batches.
async fn create_old_store(path: &Path) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut file = options.connect().await.unwrap();
    let before: Vec<_> = MIGRATIONS.iter().copied().filter(|file| file.number < 5).collect();
    migrate::run(&before, &mut file, i64::MAX, &UpgradeProgress::default()).await.unwrap();
    for number in 1..=EVENT_COUNT {
        let tenant = (number % 50 == 7).then_some("payments");
        let body = serde_json::json!({
            "time": i64::from(number) * 1000,
            "status_id": 0,
            "metadata": {
                "uid": id(number).to_string(), "tenant_uid": tenant,
                "correlation_uid": format!("call-{}", number / 2), "event_code": "intent",
            },
            "api": { "operation": "Start" }, "cloud": {},
            "unmapped": { "logkey": { "time_us": i64::from(number) * 1_000_000 } },
        });
        let (number, bytes) = (i64::from(number), id(number).0.as_bytes().to_vec());
        let (call, body) = (format!("call-{}", number / 2), body.to_string());
        let insert = sqlx::query(INSERT_SQL).bind(number).bind(bytes).bind(tenant).bind(call).bind(body);
        insert.execute(&mut file).await.unwrap();
    }
    file.close().await.unwrap();
}

#[tokio::test]
async fn an_upgraded_store_finds_its_old_events_by_every_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logkey.db");
    create_old_store(&path).await;
    let url = format!("sqlite://{}", path.display());
    let refused = Reader::open(&url).await.unwrap_err();
    assert!(matches!(refused, OpenError::Older { .. }), "{refused}");
    let store = Sqlite::open(&url, &UpgradeProgress::default()).await.unwrap();
    Reader::open(&url).await.unwrap();
    let checked = store.index_check(0, 1000).await.unwrap();
    assert_eq!(checked.len(), 150);
    assert!(checked.iter().all(|checked| checked.mismatches.is_empty()), "{checked:?}");
    let none = EventFilter::default();
    let at = |secs| Some(Timestamp::from_secs(secs));
    for (filter, expected) in [
        (EventFilter { tenant: Some("payments".parse().unwrap()), ..none.clone() }, vec![107, 57, 7]),
        (EventFilter { correlation: Some("call-64".into()), ..none.clone() }, vec![129, 128]),
        (EventFilter { since: at(64), until: at(66), ..none }, vec![65, 64]),
    ] {
        let listed = store.list(&filter, None, 10).await.unwrap();
        assert_eq!(listed.iter().map(|event| event.seq).collect::<Vec<_>>(), expected, "{filter:?}");
    }
    assert_eq!(store.find(id(128)).await.unwrap().unwrap().seq, 128);
    assert_eq!(store.open_intents(Timestamp::from_secs(11)).await.unwrap().len(), 10);
}

#[tokio::test]
async fn the_upgrade_does_not_scan_all_events_for_each_batch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logkey.db");
    create_old_store(&path).await;
    let mut file = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let SqlFile { sql, .. } = MIGRATIONS.iter().find(|file| file.name == "batches").unwrap();
    let (tables, rows) = sql.split_once("INSERT INTO kept").unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(tables.to_owned())).execute(&mut file).await.unwrap();
    let mut lookups = 0;
    for step in rows.split("INSERT INTO batch_of").skip(1).take(2) {
        let (step, _rest) = step.split_once(';').unwrap();
        let plan = format!("EXPLAIN QUERY PLAN INSERT INTO batch_of{step}");
        for row in sqlx::query(sqlx::AssertSqlSafe(plan)).fetch_all(&mut file).await.unwrap() {
            let step: String = row.get("detail");
            assert!(!step.contains("event") || step.contains("INTEGER PRIMARY KEY"), "{step}");
            lookups += usize::from(step.contains("event"));
        }
    }
    assert_eq!(lookups, 2);
}

#[tokio::test]
async fn an_upgrade_that_is_interrupted_at_each_commit_completes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logkey.db");
    create_old_store(&path).await;
    let options = SqliteConnectOptions::new().filename(&path);
    let mut file = options.connect().await.unwrap();
    // The positions fill several batches of the upgrade.
    sqlx::raw_sql("UPDATE event SET seq = -seq; UPDATE event SET seq = -seq * 64")
        .execute(&mut file)
        .await
        .unwrap();
    file.close().await.unwrap();
    let (mut attempts, mut steps) = (1, std::collections::BTreeSet::new());
    loop {
        let mut file = options.connect().await.unwrap();
        let mut commits = 0;
        file.lock_handle().await.unwrap().set_commit_hook(move || {
            commits += 1;
            commits < 2
        });
        let progress = UpgradeProgress::default();
        let upgraded = upgrade::migrate(&mut file, &path, &progress).await;
        file.close().await.unwrap();
        if upgraded.is_ok() {
            assert_eq!(progress.step(), None);
            break;
        }
        steps.extend(progress.step().map(|step| step.to_string()));
        attempts += 1;
        assert!(attempts < 40, "no progress: {upgraded:?}");
    }
    assert!(attempts > 10, "{attempts}");
    let step = format!("step 5 of {}, position 4159 of 9600", MIGRATIONS.len());
    assert!(steps.contains(&step), "{steps:?}");
    let url = format!("sqlite://{}", path.display());
    let store = Sqlite::open(&url, &UpgradeProgress::default()).await.unwrap();
    let checked = store.index_check(0, 20_000).await.unwrap();
    assert_eq!(checked.len(), 150);
    assert!(checked.iter().all(|checked| checked.mismatches.is_empty()), "{checked:?}");
    let payments = EventFilter { tenant: Some("payments".parse().unwrap()), ..EventFilter::default() };
    let listed = store.list(&payments, None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|event| event.seq / 64).collect::<Vec<_>>(), [107, 57, 7]);
    assert_eq!(store.find(id(128)).await.unwrap().unwrap().seq, 128 * 64);
    let mut file = options.connect().await.unwrap();
    let rest = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%moved%'";
    assert_eq!(sqlx::query_scalar::<_, i64>(rest).fetch_one(&mut file).await.unwrap(), 0);
    file.close().await.unwrap();
}
