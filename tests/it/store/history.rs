//! Which key was when on what, and requests with an id of their own.

use std::time::Duration;

use logkey::{
    domain::{
        arn::KmsKeyArn,
        association::{Place as AwsPlace, RecordedAssociation, Resource, Target},
        history::{Former, Known, Retention, Sighting, Survey},
        request::{Answer, Fingerprint, OwnId, REMEMBERED, RequestEnd, RequestStep},
    },
    ports::Batch,
    store::Store,
};
use uuid::Uuid;

use super::{Place, append, at, id};

fn arn(id: &str) -> KmsKeyArn {
    format!("arn:aws:kms:eu-west-1:111122223333:key/{id}").parse().unwrap()
}

fn group(name: &str) -> Resource {
    let place = AwsPlace { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
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

async fn change(store: &Store, associations: Vec<RecordedAssociation>, sightings: Vec<Sighting>) {
    append(store, Batch { associations, sightings, ..Batch::default() }).await;
}

async fn one(store: &Store, name: &str) -> Known {
    let [known] = store.history.known(&[group(name)]).await.unwrap().try_into().unwrap();
    known
}

pub(super) async fn a_key_that_is_replaced_stays_known_and_an_older_reading_takes_nothing_from_it(
    place: Place,
) {
    let store = place.open().await;
    store.seen.keep(&[sighting("/a", Some("first"), 100), sighting("/a", Some("first"), 200)]).await.unwrap();
    // Several of one resource in one batch count in their order.
    let both = vec![set("/a", Some("third"), 301), set("/b", Some("x"), 300), set("/a", Some("second"), 300)];
    change(&store, both, vec![sighting("/b", None, 299)]).await;
    store.seen.keep(&[sighting("/a", Some("old"), 250)]).await.unwrap();
    change(&store, vec![set("/a", None, 500)], vec![]).await;

    let mut known = one(&store, "/a").await;
    assert_eq!((&known.key, known.previous_key.clone()), (&None, Some(arn("third"))));
    assert_eq!((known.accepted, known.created, known.seen), (Some(at(500)), Some(at(1)), at(500)));
    assert_eq!(known.retention, Retention::For(Duration::from_hours(24)));
    known.former.sort_by_key(|former| former.until);
    let former = |key, since, seen, until| {
        let (since, seen, until) = (at(since), at(seen), at(until));
        Former { key: arn(key), since, seen, until }
    };
    let expected =
        [former("first", 100, 200, 300), former("second", 300, 300, 301), former("third", 301, 301, 500)];
    assert_eq!(known.former, expected);
    assert_eq!(store.history.known(&[group("/a"), group("/b"), group("/c")]).await.unwrap().len(), 2);
}

pub(super) async fn a_key_is_found_by_what_has_it_and_what_had_it_page_by_page(place: Place) {
    let store = place.open().await;
    // Byte by byte: no language's order.
    let names = ["/B", "/Z-1", "/a", "/a-b", "/aB", "/ab", "/b"];
    let seen: Vec<Sighting> = names.iter().map(|name| sighting(name, Some("k"), 100)).collect();
    store.seen.keep(&seen).await.unwrap();
    store.seen.keep(&[sighting("/a-b", Some("other"), 200)]).await.unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.history.touched(&arn("k"), after.as_ref(), 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.resource.clone());
        all.extend(page);
    }
    let found: Vec<Resource> = all.iter().map(|known| known.resource.clone()).collect();
    assert_eq!(found, names.map(group));
    assert_eq!(all[3].former[0].key, arn("k"));
}

pub(super) async fn what_a_survey_did_not_find_is_gone_until_it_is_seen_again(place: Place) {
    let store = place.open().await;
    store.seen.keep(&[sighting("/stays", Some("k"), 500), sighting("/goes", Some("k"), 100)]).await.unwrap();
    let place = group("/stays").place;
    let results = Resource { place: place.clone(), target: Target::QueryResults };
    let unlisted = Sighting { resource: results.clone(), ..sighting("/x", Some("k"), 100) };
    store.seen.keep(&[unlisted]).await.unwrap();
    for last in [400, 450] {
        let survey = Survey { place: place.clone(), first: at(last), last: at(last), log_groups: 1 };
        store.seen.surveyed(&survey).await.unwrap();
    }
    let [survey] = store.history.surveys(&[place]).await.unwrap().try_into().unwrap();
    assert_eq!((survey.first, survey.last, survey.log_groups), (at(400), at(450), 1));
    assert_eq!(one(&store, "/goes").await.gone, Some(at(400)));
    assert_eq!(one(&store, "/stays").await.gone, None);
    assert_eq!(store.history.known(&[results]).await.unwrap()[0].gone, None);
    store.seen.keep(&[sighting("/goes", Some("k"), 600)]).await.unwrap();
    assert_eq!(one(&store, "/goes").await.gone, None);
}

pub(super) async fn a_request_is_remembered_for_a_day_by_its_tenant(place: Place) {
    let store = place.open().await;
    let own = OwnId { tenant: "a".parse().unwrap(), id: Uuid::from_u128(1) };
    let others = OwnId { tenant: "b".parse().unwrap(), ..own.clone() };
    let begun = |own: &OwnId, secs: i64| RequestStep::Begun {
        id: own.clone(),
        fingerprint: Fingerprint("what".into()),
        at: at(secs),
        running_until: at(secs + 30),
    };
    let step = async |event, step| {
        append(&store, Batch { requests: vec![(id(event), step)], ..Batch::default() }).await;
    };
    step(7, begun(&own, 100)).await;
    let kept = store.requests.find(&own, at(101)).await.unwrap().unwrap();
    assert_eq!((kept.end, kept.running_until), (None, at(130)));
    assert_eq!(store.requests.find(&others, at(101)).await.unwrap(), None);

    let end = RequestEnd::Done(Answer("{}".into()));
    step(8, RequestStep::Ended { intent: id(7), end: end.clone() }).await;
    let kept = store.requests.find(&own, at(102)).await.unwrap().unwrap();
    assert_eq!((kept.end, kept.intent, kept.outcome), (Some(end), id(7), Some(id(8))));

    // What may be tried again begins anew.
    step(9, begun(&others, 200)).await;
    step(10, RequestStep::Ended { intent: id(9), end: RequestEnd::Open }).await;
    step(11, begun(&others, 300)).await;
    let kept = store.requests.find(&others, at(301)).await.unwrap().unwrap();
    assert_eq!((kept.end, kept.intent), (None, id(11)));

    let over = at(100).plus(REMEMBERED);
    assert_eq!(store.requests.find(&own, over).await.unwrap(), None);
    step(12, begun(&OwnId { id: Uuid::from_u128(2), ..own.clone() }, over.as_secs())).await;
    assert_eq!(store.requests.find(&own, at(0)).await.unwrap(), None, "not forgotten");
}
