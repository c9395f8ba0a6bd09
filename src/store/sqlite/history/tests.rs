use std::{sync::Arc, time::Duration};

use sqlx::{Connection as _, Row as _};
use tempfile::TempDir;

use super::*;
use crate::{
    domain::{
        association::{RecordedAssociation, Target},
        audit::EventId,
        history::{Former, Protection, Retention},
        request::{Answer, Fingerprint, OwnId, REMEMBERED, RequestEnd, RequestStep},
        time::Timestamp,
    },
    ports::{Batch, EventStore as _, Indexed, RequestRecords as _},
};

async fn store() -> (TempDir, Sqlite) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/logkey.db", dir.path().display());
    (dir, Sqlite::open(&url).await.unwrap())
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn arn(id: &str) -> KmsKeyArn {
    format!("arn:aws:kms:eu-west-1:111122223333:key/{id}").parse().unwrap()
}

fn group(name: &str) -> Resource {
    let place = Place { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    Resource { place, target: Target::LogGroup(name.parse().unwrap()) }
}

fn sighting(name: &str, key: Option<&str>, seen: i64) -> Sighting {
    let retention = Retention::For(Duration::from_hours(24));
    Sighting { resource: group(name), key: key.map(arn), seen: at(seen), created: Some(at(1)), retention }
}

fn set(name: &str, key: Option<&str>, accepted: i64) -> RecordedAssociation {
    let (resource, key) = (group(name), key.map(arn));
    RecordedAssociation { resource, key, previous_key: None, accepted: at(accepted) }
}

async fn change(store: &Sqlite, batch: Batch) {
    store.append(Arc::new(batch)).await.unwrap();
}

async fn one(store: &Sqlite, name: &str) -> Known {
    let [known] = store.known(&[group(name)]).await.unwrap().try_into().unwrap();
    known
}

#[tokio::test]
async fn a_key_that_is_replaced_stays_known_whoever_replaced_it() {
    let (_dir, store) = store().await;
    store.keep(&[sighting("/a", Some("first"), 100), sighting("/a", Some("first"), 200)]).await.unwrap();
    change(&store, Batch { associations: vec![set("/a", Some("second"), 300)], ..Batch::default() }).await;
    store.keep(&[sighting("/a", Some("third"), 400)]).await.unwrap();
    change(&store, Batch { associations: vec![set("/a", None, 500)], ..Batch::default() }).await;

    let mut known = one(&store, "/a").await;
    assert_eq!((known.key, known.previous_key), (None, Some(arn("third"))));
    assert_eq!((known.accepted, known.created), (Some(at(500)), Some(at(1))));
    known.former.sort_by_key(|former| former.until);
    let former = |key, since, seen, until| Former {
        key: arn(key),
        since: at(since),
        seen: at(seen),
        until: at(until),
    };
    assert_eq!(
        known.former,
        [former("first", 100, 200, 300), former("second", 300, 300, 400), former("third", 400, 400, 500)]
    );
}

#[tokio::test]
async fn a_sighting_and_a_change_of_one_batch_are_taken_in_their_order() {
    let (_dir, store) = store().await;
    let batch = Batch {
        associations: vec![set("/a", Some("new"), 300), set("/a", Some("newer"), 301)],
        sightings: vec![sighting("/a", Some("old"), 299)],
        ..Batch::default()
    };
    change(&store, batch).await;
    let known = one(&store, "/a").await;
    assert_eq!((known.key, known.accepted), (Some(arn("newer")), Some(at(301))));
    assert_eq!(known.retention, Retention::For(Duration::from_hours(24)));
    assert_eq!(known.former.len(), 2);
}

#[tokio::test]
async fn a_reading_from_before_a_change_takes_nothing_from_it() {
    let (_dir, store) = store().await;
    change(&store, Batch { associations: vec![set("/a", Some("new"), 300)], ..Batch::default() }).await;
    store.keep(&[sighting("/a", Some("old"), 299)]).await.unwrap();
    assert_eq!(one(&store, "/a").await.key, Some(arn("new")));
    store.keep(&[sighting("/a", Some("new"), 301)]).await.unwrap();
    let known = one(&store, "/a").await;
    assert_eq!((known.accepted, known.since, known.seen), (Some(at(300)), at(300), at(301)));
}

#[tokio::test]
async fn a_key_is_found_by_what_has_it_and_what_had_it_page_by_page() {
    let (_dir, store) = store().await;
    let names: Vec<String> = (0..10).map(|n| format!("/app/{n}")).collect();
    let seen: Vec<Sighting> = names.iter().map(|name| sighting(name, Some("k"), 100)).collect();
    store.keep(&seen).await.unwrap();
    store.keep(&[sighting("/app/3", Some("other"), 200), sighting("/app/4", None, 200)]).await.unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.touched(&arn("k"), after.as_ref(), 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.resource.clone());
        all.extend(page);
    }
    assert_eq!(
        all.iter().map(|known| known.resource.clone()).collect::<Vec<_>>(),
        names.iter().map(|name| group(name)).collect::<Vec<_>>()
    );
    let now = at(1_000);
    for (n, known) in all.iter().enumerate() {
        let until = Protection::Until(at(200 + 300 + 86_400));
        let expected = if n == 3 || n == 4 { until } else { Protection::InUse };
        assert_eq!(known.protection_by(&arn("k"), now), expected, "{n}");
    }
}

#[tokio::test]
async fn what_a_survey_did_not_find_is_gone_until_it_is_seen_again() {
    let (_dir, store) = store().await;
    store.keep(&[sighting("/stays", Some("k"), 500), sighting("/goes", Some("k"), 100)]).await.unwrap();
    let Resource { place, .. } = group("/stays");
    let results = Sighting {
        resource: Resource { place: place.clone(), target: Target::QueryResults },
        ..sighting("/x", Some("k"), 100)
    };
    store.keep(std::slice::from_ref(&results)).await.unwrap();
    for last in [400, 450] {
        let survey = Survey { place: place.clone(), first: at(last), last: at(last), log_groups: 1 };
        store.surveyed(&survey).await.unwrap();
    }
    let [survey] = store.surveys(&[place]).await.unwrap().try_into().unwrap();
    assert_eq!((survey.first, survey.last), (at(400), at(450)));
    assert_eq!(one(&store, "/goes").await.gone, Some(at(400)));
    assert_eq!(one(&store, "/stays").await.gone, None);
    // AWS has no list that query results could be missing from.
    assert_eq!(store.known(&[results.resource]).await.unwrap()[0].gone, None);
    store.keep(&[sighting("/goes", Some("k"), 600)]).await.unwrap();
    assert_eq!(one(&store, "/goes").await.gone, None);
}

#[tokio::test]
async fn a_log_group_that_was_made_anew_has_its_key_since_then() {
    let (_dir, store) = store().await;
    store.keep(&[sighting("/a", Some("k"), 100)]).await.unwrap();
    store.keep(&[Sighting { created: Some(at(150)), ..sighting("/a", Some("k"), 200) }]).await.unwrap();
    let known = one(&store, "/a").await;
    assert_eq!((known.since, known.created), (at(200), Some(at(150))));
}

fn begun(id: &OwnId, what: &str, secs: i64) -> RequestStep {
    RequestStep::Begun {
        id: id.clone(),
        fingerprint: Fingerprint(what.into()),
        at: at(secs),
        running_until: at(secs + 30),
    }
}

#[tokio::test]
async fn a_request_is_remembered_for_a_day_by_its_tenant() {
    let (_dir, store) = store().await;
    let id = OwnId { tenant: "a".parse().unwrap(), id: uuid::Uuid::from_u128(1) };
    let others = OwnId { tenant: "b".parse().unwrap(), ..id.clone() };
    let (intent, outcome) = (EventId(uuid::Uuid::from_u128(7)), EventId(uuid::Uuid::from_u128(8)));
    let steps = |step| Batch { requests: vec![step], ..Batch::default() };
    change(&store, steps((intent, begun(&id, "x", 100)))).await;
    assert_eq!(store.find(&id, at(101)).await.unwrap().unwrap().end, None);
    assert_eq!(store.find(&others, at(101)).await.unwrap(), None);

    let end = RequestEnd::Done(Answer("{}".into()));
    let ended = (outcome, RequestStep::Ended { intent, end: end.clone() });
    change(
        &store,
        Batch { requests: vec![ended], associations: vec![set("/a", Some("k"), 101)], ..Batch::default() },
    )
    .await;
    let kept = store.find(&id, at(102)).await.unwrap().unwrap();
    assert_eq!((kept.end, kept.intent, kept.outcome), (Some(end), intent, Some(outcome)));
    assert_eq!(one(&store, "/a").await.key, Some(arn("k")));

    let over = at(100).plus(REMEMBERED);
    assert_eq!(store.find(&id, over).await.unwrap(), None);
    let later = begun(&others, "y", over.as_secs());
    change(&store, steps((EventId(uuid::Uuid::from_u128(9)), later))).await;
    assert_eq!(store.find(&id, at(0)).await.unwrap(), None, "not forgotten");
}

#[tokio::test]
async fn nothing_is_searched_from_end_to_end() {
    let (dir, store) = store().await;
    drop(store);
    let url = format!("sqlite://{}/logkey.db", dir.path().display());
    let mut open = SqliteConnection::connect(&url).await.unwrap();
    let all = [KNOWN, KNOWN_OF, TOUCHED, SURVEYS];
    let parts = SURVEYED.split(";\n");
    for sql in all.into_iter().chain(parts).filter(|sql| sql.contains(' ') && !sql.starts_with("BEGIN")) {
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
        for row in plan.fetch_all(&mut open).await.unwrap() {
            let step: String = row.get("detail");
            let scan =
                step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE") && !step.contains("CONSTANT");
            assert!(!scan || step == "SCAN touched", "{step} in {sql}");
        }
    }
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_any_more_leaves_nothing_open_in_which_an_event_would_be_lost() {
    let (dir, store) = store().await;
    let place = group("/a").place;
    let survey = Survey { place, first: at(1), last: at(2), log_groups: 1 };
    // Broken off at its first step.
    let mut broken_off = Box::pin(store.surveyed(&survey));
    assert!(futures_util::poll!(&mut broken_off).is_pending());
    drop(broken_off);
    let event = Indexed {
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
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM event").fetch_one(&mut another).await.unwrap();
    assert_eq!(kept, 1, "seen by whoever else reads the file");
}
