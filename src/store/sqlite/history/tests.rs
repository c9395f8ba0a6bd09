use std::{sync::Arc, time::Duration};

use sqlx::{Connection as _, Row as _, SqliteConnection};
use tempfile::TempDir;

use super::*;
use crate::{
    domain::{
        association::{RecordedAssociation, Target},
        audit::EventId,
        history::{PastKey, Protection, Retention},
        idempotency::{
            Answer, Fingerprint, IDEMPOTENCY_WINDOW, IdempotencyKey, RecordedStep, RequestOutcome,
        },
        time::Timestamp,
    },
    ports::{Batch, EventIndexFields, EventStore as _},
    store::key_queries::RESOURCES_SQL,
};

async fn store() -> (TempDir, Sqlite) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/logkey.db", dir.path().display());
    (dir, Sqlite::open(&url, &crate::ports::upgrade::UpgradeProgress::default()).await.unwrap())
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn arn(id: &str) -> KmsKeyArn {
    format!("arn:aws:kms:eu-west-1:111122223333:key/{id}").parse().unwrap()
}

fn group(name: &str) -> Resource {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    Resource { location, target: Target::LogGroup(name.parse().unwrap()) }
}

fn observation(name: &str, key: Option<&str>, observed_at: i64) -> Observation {
    let retention = Retention::For(Duration::from_hours(24));
    Observation {
        resource: group(name),
        key: key.map(arn),
        observed_at: at(observed_at),
        created: Some(at(1)),
        retention,
    }
}

fn set(name: &str, key: Option<&str>, accepted: i64) -> RecordedAssociation {
    let (resource, key) = (group(name), key.map(arn));
    RecordedAssociation { resource, key, previous_key: None, accepted: at(accepted) }
}

async fn change(store: &Sqlite, batch: Batch) {
    store.append(Arc::new(batch)).await.unwrap();
}

async fn one(store: &Sqlite, name: &str) -> KeyRecord {
    let [record] = store.records(&[group(name)]).await.unwrap().try_into().unwrap();
    record
}

#[tokio::test]
async fn a_replaced_key_becomes_a_former_key_however_it_was_replaced() {
    let (_dir, store) = store().await;
    store
        .upsert(&[observation("/a", Some("first"), 100), observation("/a", Some("first"), 200)])
        .await
        .unwrap();
    change(&store, Batch { associations: vec![set("/a", Some("second"), 300)], ..Batch::default() }).await;
    store.upsert(&[observation("/a", Some("third"), 400)]).await.unwrap();
    change(&store, Batch { associations: vec![set("/a", None, 500)], ..Batch::default() }).await;

    let mut record = one(&store, "/a").await;
    assert_eq!((record.key, record.previous_key), (None, Some(arn("third"))));
    assert_eq!((record.accepted, record.created), (Some(at(500)), Some(at(1))));
    record.former.sort_by_key(|former| former.until);
    let former = |key, since, observed_at, until| PastKey {
        key: arn(key),
        since: at(since),
        observed_at: at(observed_at),
        until: at(until),
    };
    assert_eq!(
        record.former,
        [former("first", 100, 200, 300), former("second", 300, 300, 400), former("third", 400, 400, 500)]
    );
}

#[tokio::test]
async fn observations_and_changes_of_one_batch_are_applied_in_order() {
    let (_dir, store) = store().await;
    let batch = Batch {
        associations: vec![set("/a", Some("new"), 300), set("/a", Some("newer"), 301)],
        observations: vec![observation("/a", Some("old"), 299)],
        ..Batch::default()
    };
    change(&store, batch).await;
    let record = one(&store, "/a").await;
    assert_eq!((record.key, record.accepted), (Some(arn("newer")), Some(at(301))));
    assert_eq!(record.retention, Retention::For(Duration::from_hours(24)));
    assert_eq!(record.former.len(), 2);
}

#[tokio::test]
async fn an_observation_older_than_a_change_does_not_revert_it() {
    let (_dir, store) = store().await;
    change(&store, Batch { associations: vec![set("/a", Some("new"), 300)], ..Batch::default() }).await;
    store.upsert(&[observation("/a", Some("old"), 299)]).await.unwrap();
    assert_eq!(one(&store, "/a").await.key, Some(arn("new")));
    store.upsert(&[observation("/a", Some("new"), 301)]).await.unwrap();
    let record = one(&store, "/a").await;
    assert_eq!((record.accepted, record.since, record.observed_at), (Some(at(300)), at(300), at(301)));
}

#[tokio::test]
async fn resources_that_have_or_had_a_key_are_listed_page_by_page() {
    let (_dir, store) = store().await;
    let names: Vec<String> = (0..10).map(|n| format!("/app/{n}")).collect();
    let observations: Vec<Observation> = names.iter().map(|name| observation(name, Some("k"), 100)).collect();
    store.upsert(&observations).await.unwrap();
    store
        .upsert(&[observation("/app/3", Some("other"), 200), observation("/app/4", None, 200)])
        .await
        .unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.resources_with_key(&arn("k"), after.as_ref(), 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.resource.clone());
        all.extend(page);
    }
    assert_eq!(
        all.iter().map(|record| record.resource.clone()).collect::<Vec<_>>(),
        names.iter().map(|name| group(name)).collect::<Vec<_>>()
    );
    let now = at(1_000);
    for (n, record) in all.iter().enumerate() {
        let until = Protection::Until(at(200 + 300 + 86_400));
        let expected = if n == 3 || n == 4 { until } else { Protection::InUse };
        assert_eq!(record.protection_from(&arn("k"), now), expected, "{n}");
    }
}

#[tokio::test]
async fn a_log_group_missing_from_a_scan_is_deleted_until_observed_again() {
    let (_dir, store) = store().await;
    store
        .upsert(&[observation("/stays", Some("k"), 500), observation("/goes", Some("k"), 100)])
        .await
        .unwrap();
    let Resource { location, .. } = group("/stays");
    let results = Observation {
        resource: Resource { location: location.clone(), target: Target::QueryResults },
        ..observation("/x", Some("k"), 100)
    };
    store.upsert(std::slice::from_ref(&results)).await.unwrap();
    for last in [400, 450] {
        let scan = Scan { location: location.clone(), first: at(last), last: at(last), log_groups: 1 };
        store.record_scan(&scan).await.unwrap();
    }
    let [scan] = store.scans(&[location]).await.unwrap().try_into().unwrap();
    assert_eq!((scan.first, scan.last), (at(400), at(450)));
    assert_eq!(one(&store, "/goes").await.deleted_at, Some(at(400)));
    assert_eq!(one(&store, "/stays").await.deleted_at, None);
    // A scan does not list query results, so it cannot show that they are deleted.
    assert_eq!(store.records(&[results.resource]).await.unwrap()[0].deleted_at, None);
    store.upsert(&[observation("/goes", Some("k"), 600)]).await.unwrap();
    assert_eq!(one(&store, "/goes").await.deleted_at, None);
}

#[tokio::test]
async fn a_recreated_log_group_has_its_key_since_its_recreation() {
    let (_dir, store) = store().await;
    store.upsert(&[observation("/a", Some("k"), 100)]).await.unwrap();
    store
        .upsert(&[Observation { created: Some(at(150)), ..observation("/a", Some("k"), 200) }])
        .await
        .unwrap();
    let record = one(&store, "/a").await;
    assert_eq!((record.since, record.created), (at(200), Some(at(150))));
}

fn started(id: &IdempotencyKey, what: &str, secs: i64) -> RecordedStep {
    RecordedStep::Intent {
        id: id.clone(),
        fingerprint: Fingerprint(what.into()),
        at: at(secs),
        running_until: at(secs + 30),
    }
}

#[tokio::test]
async fn the_record_of_a_request_lasts_a_day_and_belongs_to_its_tenant() {
    let (_dir, store) = store().await;
    let id = IdempotencyKey { tenant: "a".parse().unwrap(), id: uuid::Uuid::from_u128(1) };
    let others = IdempotencyKey { tenant: "b".parse().unwrap(), ..id.clone() };
    let (intent, outcome) = (EventId(uuid::Uuid::from_u128(7)), EventId(uuid::Uuid::from_u128(8)));
    let steps = |step| Batch { requests: vec![step], ..Batch::default() };
    change(&store, steps((intent, started(&id, "x", 100)))).await;
    assert_eq!(store.find(&id, at(101)).await.unwrap().unwrap().end, None);
    assert_eq!(store.find(&others, at(101)).await.unwrap(), None);

    let end = RequestOutcome::Completed(Answer("{}".into()));
    let outcome_step = (outcome, RecordedStep::Outcome { intent, end: end.clone() });
    change(
        &store,
        Batch {
            requests: vec![outcome_step],
            associations: vec![set("/a", Some("k"), 101)],
            ..Batch::default()
        },
    )
    .await;
    let record = store.find(&id, at(102)).await.unwrap().unwrap();
    assert_eq!((record.end, record.intent, record.outcome), (Some(end), intent, Some(outcome)));
    assert_eq!(one(&store, "/a").await.key, Some(arn("k")));

    let over = at(100).plus(IDEMPOTENCY_WINDOW);
    assert_eq!(store.find(&id, over).await.unwrap(), None);
    let later = started(&others, "y", over.as_secs());
    change(&store, steps((EventId(uuid::Uuid::from_u128(9)), later))).await;
    assert_eq!(store.find(&id, at(0)).await.unwrap(), None, "the expired record was not deleted");
}

#[tokio::test]
async fn no_query_scans_a_whole_table() {
    let (dir, store) = store().await;
    drop(store);
    let url = format!("sqlite://{}/logkey.db", dir.path().display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let all = [UPSERT_SQL, RECORDS_SQL, RESOURCES_SQL, SCANS_SQL];
    let parts = RECORD_SCAN_SQL.split(";\n");
    for sql in all.into_iter().chain(parts).filter(|sql| sql.contains(' ') && !sql.starts_with("BEGIN")) {
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
        for row in plan.fetch_all(&mut connection).await.unwrap() {
            let step: String = row.get("detail");
            let scan =
                step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE") && !step.contains("CONSTANT");
            assert!(!scan || step == "SCAN touched", "{step} in {sql}");
        }
    }
}

#[tokio::test]
async fn a_cancelled_write_leaves_no_open_transaction() {
    let (dir, store) = store().await;
    let location = group("/a").location;
    let scan = Scan { location, first: at(1), last: at(2), log_groups: 1 };
    // Cancelled after its first poll.
    let mut cancelled = Box::pin(store.record_scan(&scan));
    assert!(futures_util::poll!(&mut cancelled).is_pending());
    drop(cancelled);
    let event = EventIndexFields {
        id: EventId(uuid::Uuid::from_u128(1)),
        time: at(3),
        tenant: None,
        kind: "lifecycle",
        action: "Start",
        account: None,
        correlation: "call".parse().unwrap(),
        outcome: None,
        closes: None,
        start: 0,
        len: 2,
    };
    change(&store, Batch { events: vec![event], bytes: b"{}".to_vec(), ..Batch::default() }).await;
    let url = format!("sqlite://{}/logkey.db", dir.path().display());
    let mut another = SqliteConnection::connect(&url).await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM event").fetch_one(&mut another).await.unwrap();
    assert_eq!(count, 1, "another connection to the file sees the event");
}
