//! The history of keys on resources, and the recorded requests with an idempotency key.

use std::time::Duration;

use logkey::{
    domain::{
        arn::KmsKeyArn,
        association::{Location as AwsPlace, RecordedAssociation, Resource, Target},
        history::{KeyRecord, Observation, PastKey, Retention, Scan},
        idempotency::{
            Answer, Fingerprint, IDEMPOTENCY_WINDOW, IdempotencyKey, RecordedStep, RequestOutcome,
        },
    },
    ports::Batch,
    store::Store,
};
use uuid::Uuid;

use super::{Backend, append, at, id};

fn arn(id: &str) -> KmsKeyArn {
    format!("arn:aws:kms:eu-west-1:111122223333:key/{id}").parse().unwrap()
}

fn group(name: &str) -> Resource {
    let location =
        AwsPlace { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
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

async fn change(store: &Store, associations: Vec<RecordedAssociation>, observations: Vec<Observation>) {
    append(store, Batch { associations, observations, ..Batch::default() }).await;
}

async fn one(store: &Store, name: &str) -> KeyRecord {
    let [record] = store.history.records(&[group(name)]).await.unwrap().try_into().unwrap();
    record
}

pub(super) async fn a_replaced_key_stays_in_the_history_and_older_reads_change_nothing(backend: Backend) {
    let store = backend.open().await;
    store
        .observations
        .upsert(&[observation("/a", Some("first"), 100), observation("/a", Some("first"), 200)])
        .await
        .unwrap();
    // Several changes of one resource in one batch apply in their order.
    let both = vec![set("/a", Some("third"), 301), set("/b", Some("x"), 300), set("/a", Some("second"), 300)];
    change(&store, both, vec![observation("/b", None, 299)]).await;
    store.observations.upsert(&[observation("/a", Some("old"), 250)]).await.unwrap();
    change(&store, vec![set("/a", None, 500)], vec![]).await;

    let mut record = one(&store, "/a").await;
    assert_eq!((&record.key, record.previous_key.clone()), (&None, Some(arn("third"))));
    assert_eq!((record.accepted, record.created, record.observed_at), (Some(at(500)), Some(at(1)), at(500)));
    assert_eq!(record.retention, Retention::For(Duration::from_hours(24)));
    record.former.sort_by_key(|former| former.until);
    let former = |key, since, observed_at, until| {
        let (since, observed_at, until) = (at(since), at(observed_at), at(until));
        PastKey { key: arn(key), since, observed_at, until }
    };
    let expected =
        [former("first", 100, 200, 300), former("second", 300, 300, 301), former("third", 301, 301, 500)];
    assert_eq!(record.former, expected);
    assert_eq!(store.history.records(&[group("/a"), group("/b"), group("/c")]).await.unwrap().len(), 2);
}

pub(super) async fn resources_are_found_by_current_and_former_key_in_pages(backend: Backend) {
    let store = backend.open().await;
    // The order is by bytes, not by the rules of a language.
    let names = ["/B", "/Z-1", "/a", "/a-b", "/aB", "/ab", "/b"];
    let observations: Vec<Observation> = names.iter().map(|name| observation(name, Some("k"), 100)).collect();
    store.observations.upsert(&observations).await.unwrap();
    store.observations.upsert(&[observation("/a-b", Some("other"), 200)]).await.unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.history.resources_with_key(&arn("k"), after.as_ref(), 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.resource.clone());
        all.extend(page);
    }
    let found: Vec<Resource> = all.iter().map(|record| record.resource.clone()).collect();
    assert_eq!(found, names.map(group));
    assert_eq!(all[3].former[0].key, arn("k"));
}

pub(super) async fn a_resource_missing_in_a_scan_is_deleted_until_observed_again(backend: Backend) {
    let store = backend.open().await;
    store
        .observations
        .upsert(&[observation("/stays", Some("k"), 500), observation("/goes", Some("k"), 100)])
        .await
        .unwrap();
    let location = group("/stays").location;
    let results = Resource { location: location.clone(), target: Target::QueryResults };
    let unlisted = Observation { resource: results.clone(), ..observation("/x", Some("k"), 100) };
    store.observations.upsert(&[unlisted]).await.unwrap();
    for last in [400, 450] {
        let scan = Scan { location: location.clone(), first: at(last), last: at(last), log_groups: 1 };
        store.observations.record_scan(&scan).await.unwrap();
    }
    let [scan] = store.history.scans(&[location]).await.unwrap().try_into().unwrap();
    assert_eq!((scan.first, scan.last, scan.log_groups), (at(400), at(450), 1));
    assert_eq!(one(&store, "/goes").await.deleted_at, Some(at(400)));
    assert_eq!(one(&store, "/stays").await.deleted_at, None);
    assert_eq!(store.history.records(&[results]).await.unwrap()[0].deleted_at, None);
    store.observations.upsert(&[observation("/goes", Some("k"), 600)]).await.unwrap();
    assert_eq!(one(&store, "/goes").await.deleted_at, None);
}

pub(super) async fn a_request_is_recorded_for_a_day_for_its_tenant(backend: Backend) {
    let store = backend.open().await;
    let own = IdempotencyKey { tenant: "a".parse().unwrap(), id: Uuid::from_u128(1) };
    let others = IdempotencyKey { tenant: "b".parse().unwrap(), ..own.clone() };
    let started = |own: &IdempotencyKey, secs: i64| RecordedStep::Intent {
        id: own.clone(),
        fingerprint: Fingerprint("what".into()),
        at: at(secs),
        running_until: at(secs + 30),
    };
    let step = async |event, step| {
        append(&store, Batch { requests: vec![(id(event), step)], ..Batch::default() }).await;
    };
    step(7, started(&own, 100)).await;
    let record = store.requests.find(&own, at(101)).await.unwrap().unwrap();
    assert_eq!((record.end, record.running_until), (None, at(130)));
    assert_eq!(store.requests.find(&others, at(101)).await.unwrap(), None);

    let end = RequestOutcome::Completed(Answer("{}".into()));
    step(8, RecordedStep::Outcome { intent: id(7), end: end.clone() }).await;
    let record = store.requests.find(&own, at(102)).await.unwrap().unwrap();
    assert_eq!((record.end, record.intent, record.outcome), (Some(end), id(7), Some(id(8))));

    // A request that may be retried starts again.
    step(9, started(&others, 200)).await;
    step(10, RecordedStep::Outcome { intent: id(9), end: RequestOutcome::Open }).await;
    step(11, started(&others, 300)).await;
    let record = store.requests.find(&others, at(301)).await.unwrap().unwrap();
    assert_eq!((record.end, record.intent), (None, id(11)));

    let expired = at(100).plus(IDEMPOTENCY_WINDOW);
    assert_eq!(store.requests.find(&own, expired).await.unwrap(), None);
    step(12, started(&IdempotencyKey { id: Uuid::from_u128(2), ..own.clone() }, expired.as_secs())).await;
    assert_eq!(store.requests.find(&own, at(0)).await.unwrap(), None, "expired records are deleted");
}
