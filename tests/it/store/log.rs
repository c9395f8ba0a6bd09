//! Appending to the log and reading it.

use std::sync::Arc;

use logkey::ports::{AppendError, EventFilter, Indexed, StoredEvent};

use super::{Place, append, at, batch, id, indexed, plain};

fn seqs(events: &[StoredEvent]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

pub(super) async fn what_is_appended_is_read_in_its_order_by_place_by_id_and_by_every_filter(place: Place) {
    let store = place.open().await;
    let body = |subject: &str, resource: &str| {
        format!(
            "{{\"actor\":{{\"user\":{{\"uid\":\"{subject}\"}}}},\"resources\":[{{\"uid\":\"{resource}\"}}],\"text\":\"é \\\\u0000 '\"}}"
        )
    };
    let first = Indexed {
        tenant: Some("acme".parse().unwrap()),
        kind: "outcome",
        action: "AssociateKmsKey",
        account: Some("111122223333".parse().unwrap()),
        correlation: "one".parse().unwrap(),
        closes: Some(id(9)),
        ..indexed(1)
    };
    let second = Indexed { outcome: None, kind: "intent", ..indexed(2) };
    append(&store, batch([(first, body("alice", "arn:a")), (second, body("bob", "arn:b"))])).await;
    plain(&store, 3..=5).await;

    let log = &store.log;
    let all = log.after(0, 100).await.unwrap();
    assert_eq!(seqs(&all), [1, 2, 3, 4, 5]);
    assert_eq!(all[0].body, body("alice", "arn:a"), "the bytes are those that were written");
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
        (EventFilter { subject: Some("nobody".into()), ..none }, vec![]),
    ] {
        assert_eq!(seqs(&log.list(&filter, None, 10).await.unwrap()), expected, "{filter:?}");
    }
    let labelled = log.labelled(0, 2).await.unwrap();
    let label = &labelled[0];
    assert_eq!((label.event.clone(), label.time), (all[0].clone(), at(1)));
    assert_eq!((&*label.kind, &*label.action, &*label.correlation), ("outcome", "AssociateKmsKey", "one"));
    assert_eq!((label.account.as_deref(), label.outcome.as_deref()), (Some("111122223333"), Some("OK")));
    assert_eq!((label.closes, labelled[1].outcome.as_deref()), (Some(id(9)), None));
}

pub(super) async fn an_intent_is_open_until_its_outcome_is_known_or_it_is_settled(place: Place) {
    let store = place.open().await;
    let intent = |number| (Indexed { kind: "intent", outcome: None, ..indexed(number) }, "{}".to_owned());
    let closing = |number, kind, outcome, closes| {
        let closes = Some(id(closes));
        (Indexed { kind, outcome: Some(outcome), closes, ..indexed(number) }, "{}".to_owned())
    };
    append(&store, batch((1..=5).map(intent))).await;
    let open = async |before| {
        let open = store.log.unsettled(at(before)).await.unwrap();
        open.iter().map(|event| event.id).collect::<Vec<_>>()
    };
    assert_eq!(open(3).await, [id(1), id(2)], "only those from before");
    let ends = [
        closing(6, "outcome", "OK", 1),
        closing(7, "outcome", "OUTCOME_UNKNOWN", 2),
        closing(8, "outcome", "OUTCOME_UNKNOWN", 3),
        closing(9, "settled", "OK", 3),
    ];
    append(&store, batch(ends)).await;
    assert_eq!(open(100).await, [id(2), id(4), id(5)]);
    append(&store, batch([2, 4, 5].map(|of| closing(of + 20, "settled", "OK", of)))).await;
    assert_eq!(open(100).await, []);
    // One that comes in late is not overlooked.
    append(&store, batch([intent(3_000), (Indexed { time: at(50), ..intent(3_001).0 }, "{}".into())])).await;
    assert_eq!(open(100).await, [id(3_001)]);
    drop(store);
    let store = place.open().await;
    assert_eq!(store.log.unsettled(at(9_000)).await.unwrap().len(), 2, "also another process finds them");
}

pub(super) async fn after_an_error_it_is_known_what_was_kept(place: Place) {
    let store = place.open().await;
    plain(&store, 1..=2).await;
    // An id that is there already: nothing of the batch is kept.
    let twice = batch([(indexed(3), "{}".to_owned()), (indexed(2), "{}".to_owned())]);
    let refused = store.events.append(Arc::new(twice)).await;
    assert!(matches!(refused, Err(AppendError::NotKept(_))), "{refused:?}");
    let waits = store.events.append(Arc::new(batch([(indexed(3), "{}".to_owned())]))).await;
    assert!(matches!(waits, Err(AppendError::NotKept(_))), "before it began anew");
    assert!(!store.events.recover(Some(id(3))).await.unwrap());
    assert!(store.events.recover(Some(id(2))).await.unwrap());
    assert!(!store.events.recover(None).await.unwrap());
    plain(&store, 3..=3).await;
    assert_eq!(seqs(&store.log.after(0, 10).await.unwrap()), [1, 2, 3], "without a gap");
}

pub(super) async fn places_go_on_behind_events_that_were_moved_out(place: Place) {
    let store = place.open().await;
    assert_eq!(store.archived.read_through().await.unwrap(), None);
    plain(&store, 1..=10).await;
    store.archived.remove_through(7).await.unwrap();
    assert_eq!(seqs(&store.log.after(0, 100).await.unwrap()), [8, 9, 10]);
    plain(&store, 11..=11).await;
    assert_eq!(store.log.after(10, 1).await.unwrap()[0].seq, 11);
}
