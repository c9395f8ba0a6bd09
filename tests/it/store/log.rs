//! Appending to the log and reading it.

use std::sync::Arc;

use logkey::{
    ports::{AppendError, Batch, BatchTag, EventFilter, EventIndexFields, StoredBatch, StoredEvent},
    store::Store,
};
use serde_json::json;

use super::{Backend, append, at, batch, body_of, id, indexed, plain, whole};

fn seqs(events: &[StoredEvent]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

pub(super) async fn appended_events_are_read_by_position_id_and_every_filter(backend: Backend) {
    let store = backend.open().await;
    let first = EventIndexFields {
        tenant: Some("acme".parse().unwrap()),
        kind: "outcome",
        action: "AssociateKmsKey",
        account: Some("111122223333".parse().unwrap()),
        correlation: "one".parse().unwrap(),
        closes: Some(id(9)),
        ..indexed(1)
    };
    let second = EventIndexFields { outcome: None, kind: "intent", ..indexed(2) };
    let body = |event: &EventIndexFields, subject: &str, resource: &str| {
        let mut body = body_of(event);
        body["actor"] = json!({ "user": { "uid": subject } });
        body["resources"] = json!([{ "uid": resource, "type": "AWS::Logs::LogGroup" }]);
        body["text"] = json!("é \\u0000 '");
        body.to_string()
    };
    let (alice, bob) = (body(&first, "alice", "arn:a"), body(&second, "bob", "arn:b"));
    append(&store, batch([(first, alice.clone()), (second, bob)])).await;
    plain(&store, 3..=5).await;

    let log = &store.log;
    let all = log.after(0, 100).await.unwrap();
    assert_eq!(seqs(&all), [1, 2, 3, 4, 5]);
    assert_eq!(all[0].body, alice, "the body has the bytes that were written");
    assert_eq!((all[0].id, all[0].tenant.as_deref()), (id(1), Some("acme")));
    assert_eq!(seqs(&log.after(2, 2).await.unwrap()), [3, 4]);
    assert_eq!(log.find(id(2)).await.unwrap().unwrap(), all[1]);
    assert_eq!(log.find(id(77)).await.unwrap(), None);
    let none = EventFilter::default();
    assert_eq!(seqs(&log.list(&none, None, 2).await.unwrap()), [5, 4]);
    assert_eq!(seqs(&log.list(&none, Some(4), 2).await.unwrap()), [3, 2]);
    assert_eq!(seqs(&log.next(&none, 3, 10).await.unwrap()), [1, 2, 3]);
    for (filter, expected) in [
        (EventFilter { tenant: Some("acme".parse().unwrap()), ..none.clone() }, vec![1]),
        (EventFilter { since: Some(at(4)), ..none.clone() }, vec![5, 4]),
        (EventFilter { until: Some(at(2)), ..none.clone() }, vec![1]),
        (EventFilter { action: Some("AssociateKmsKey".into()), ..none.clone() }, vec![1]),
        (EventFilter { outcome: Some("OK".into()), ..none.clone() }, vec![5, 4, 3, 1]),
        (EventFilter { correlation: Some("one".into()), ..none.clone() }, vec![1]),
        (EventFilter { subject: Some("bob".into()), ..none.clone() }, vec![2]),
        (EventFilter { resource: Some("arn:a".into()), ..none.clone() }, vec![1]),
        (EventFilter { after: Some(3), ..none.clone() }, vec![5, 4]),
        (EventFilter { kind: Some("intent"), ..none.clone() }, vec![2]),
        (EventFilter { closes: Some(id(9)), ..none.clone() }, vec![1]),
        (EventFilter { closes: Some(id(8)), ..none.clone() }, vec![]),
        (EventFilter { subject: Some("nobody".into()), ..none }, vec![]),
    ] {
        assert_eq!(seqs(&log.list(&filter, None, 10).await.unwrap()), expected, "{filter:?}");
    }
    let checked = log.index_check(1, 3).await.unwrap();
    assert_eq!(checked.iter().map(|checked| checked.event.clone()).collect::<Vec<_>>(), all[1..4]);
    assert!(checked.iter().all(|checked| checked.mismatches.is_empty()), "{checked:?}");
}

pub(super) async fn an_intent_is_open_until_its_outcome_or_reconciliation(backend: Backend) {
    let store = backend.open().await;
    let intent = |number| EventIndexFields { kind: "intent", outcome: None, ..indexed(number) };
    let closing_event = |number, kind, outcome, closes| EventIndexFields {
        kind,
        outcome: Some(outcome),
        closes: Some(id(closes)),
        ..indexed(number)
    };
    let append_events = async |store: &Store, events: &[EventIndexFields]| {
        append(store, batch(events.iter().cloned().map(whole))).await;
    };
    append_events(&store, &[1, 2, 3, 4, 5].map(intent)).await;
    let open = async |before| {
        let open = store.log.open_intents(at(before)).await.unwrap();
        open.iter().map(|event| event.id).collect::<Vec<_>>()
    };
    assert_eq!(open(3).await, [id(1), id(2)], "only intents from before that time");
    let ends = [
        closing_event(6, "outcome", "OK", 1),
        closing_event(7, "outcome", "OUTCOME_UNKNOWN", 2),
        closing_event(8, "outcome", "OUTCOME_UNKNOWN", 3),
        closing_event(9, "settled", "OK", 3),
    ];
    append_events(&store, &ends).await;
    assert_eq!(open(100).await, [id(2), id(4), id(5)]);
    append_events(&store, &[2, 4, 5].map(|of| closing_event(of + 20, "settled", "OK", of))).await;
    assert_eq!(open(100).await, []);
    // The search also finds an intent that is committed late.
    append_events(&store, &[intent(3_000), EventIndexFields { time: at(50), ..intent(3_001) }]).await;
    assert_eq!(open(100).await, [id(3_001)]);
    drop(store);
    let store = backend.open().await;
    assert_eq!(store.log.open_intents(at(9_000)).await.unwrap().len(), 2, "another process finds them too");
}

pub(super) async fn after_an_error_recovery_tells_what_was_stored(backend: Backend) {
    let store = backend.open().await;
    plain(&store, 1..=2).await;
    // Another row has the position of the last event, so the store keeps no event of the batch.
    backend.obstruct(4).await;
    let two = [indexed(3), indexed(4)].map(whole);
    let not_written = store.events.append(Arc::new(batch(two))).await;
    assert!(matches!(not_written, Err(AppendError::NotWritten(_))), "{not_written:?}");
    backend.clear(4).await;
    let before_recovery = store.events.append(Arc::new(batch([whole(indexed(3))]))).await;
    assert!(matches!(before_recovery, Err(AppendError::NotWritten(_))), "before the recovery");
    assert!(!store.events.recover(Some(id(3))).await.unwrap());
    assert!(store.events.recover(Some(id(2))).await.unwrap());
    assert!(!store.events.recover(None).await.unwrap());
    plain(&store, 3..=3).await;
    assert_eq!(seqs(&store.log.after(0, 10).await.unwrap()), [1, 2, 3], "without a gap");
}

pub(super) async fn a_batch_is_stored_with_its_tag(backend: Backend) {
    let store = backend.open().await;
    plain(&store, 1..=2).await;
    let tag = BatchTag { after: 2, code: vec![7; 16] };
    let tagged = batch([3, 4, 5].map(|number| whole(indexed(number))));
    append(&store, Batch { tag: tag.clone(), ..tagged }).await;
    let batches = store.log.batches(0, 100).await.unwrap();
    assert_eq!(batches.last().unwrap(), &StoredBatch { first: 3, last: 5, tag });
    assert!(batches.iter().filter(|batch| batch.first < 3).all(|batch| batch.tag.code.is_empty()));
    assert_eq!(store.log.batches(3, 100).await.unwrap(), []);
    assert_eq!(store.log.batches(0, 2).await.unwrap().iter().filter(|batch| batch.last > 2).count(), 0);
    assert_eq!(store.log.count_misplaced().await.unwrap(), 0);
    backend.obstruct(0).await;
    assert_eq!(store.log.count_misplaced().await.unwrap(), 1);
}

pub(super) async fn the_log_goes_on_only_when_rows_of_others_are_gone(backend: Backend) {
    let store = backend.open().await;
    plain(&store, 1..=2).await;
    backend.obstruct(3).await;
    let refused = store.events.append(Arc::new(batch([whole(indexed(3))]))).await;
    assert!(matches!(refused, Err(AppendError::NotWritten(_))), "{refused:?}");
    for _ in 0..2 {
        let error = store.events.recover(None).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("rows") && cause.contains("move them elsewhere"), "{cause}");
    }
    backend.clear(3).await;
    assert!(!store.events.recover(None).await.unwrap());
    plain(&store, 3..=3).await;
    assert_eq!(seqs(&store.log.after(0, 10).await.unwrap()), [1, 2, 3]);
}

pub(super) async fn positions_continue_after_archived_events(backend: Backend) {
    let store = backend.open().await;
    assert_eq!(store.archived.read_through().await.unwrap(), None);
    let acme = |number| {
        let correlation = format!("call-{}", number / 3).parse().unwrap();
        whole(EventIndexFields { tenant: Some("acme".parse().unwrap()), correlation, ..indexed(number) })
    };
    append(&store, batch((1..=10).map(acme))).await;
    store.archived.remove_through(7).await.unwrap();
    assert_eq!(seqs(&store.log.after(0, 100).await.unwrap()), [8, 9, 10]);
    append(&store, batch([acme(11)])).await;
    assert_eq!(store.log.after(10, 1).await.unwrap()[0].seq, 11);
    // The remaining events of a batch are found as before.
    let of_acme = EventFilter { tenant: Some("acme".parse().unwrap()), ..EventFilter::default() };
    let of_call = EventFilter { correlation: Some("call-2".into()), ..EventFilter::default() };
    assert_eq!(seqs(&store.log.list(&of_acme, None, 10).await.unwrap()), [11, 10, 9, 8]);
    assert_eq!(seqs(&store.log.list(&of_call, None, 10).await.unwrap()), [8]);
    assert_eq!(store.log.find(id(7)).await.unwrap(), None);
    assert_eq!(store.log.find(id(8)).await.unwrap().unwrap().seq, 8);
    let checked = store.log.index_check(0, 10).await.unwrap();
    assert!(checked.iter().all(|checked| checked.mismatches.is_empty()), "{checked:?}");
    assert_eq!(backend.without_batch().await, 0, "no index row of an archived batch is left");
}
