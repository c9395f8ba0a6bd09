use std::sync::Arc;

use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::*;
use crate::{
    ports::{Batch, EventIndexFields, EventStore as _, upgrade::UpgradeProgress},
    store::sqlite::Sqlite as Store,
};

/// An id from this millisecond.
fn id(millis: u128) -> EventId {
    EventId(Uuid::from_u128(millis << 80 | 7))
}

/// A batch of one event.
fn batch(id: EventId) -> Batch {
    let bytes = serde_json::json!({
        "time": 0, "status_id": 0, "metadata": { "uid": id.to_string(), "correlation_uid": "call", "event_code": "read" },
        "api": { "operation": "GetCaller" }, "cloud": {}, "unmapped": { "logkey": {} },
    });
    let bytes = bytes.to_string().into_bytes();
    let event = EventIndexFields {
        id,
        time: Timestamp::from_secs(0),
        tenant: None,
        kind: "read",
        action: "GetCaller",
        account: None,
        correlation: "call".parse().unwrap(),
        outcome: None,
        closes: None,
        start: 0,
        len: bytes.len(),
    };
    Batch { events: vec![event], bytes, ..Batch::default() }
}

#[tokio::test]
async fn an_event_is_found_by_its_id_without_reading_all_batches() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/logkey.db", dir.path().display());
    let store = Store::open(&url, &UpgradeProgress::default()).await.unwrap();
    // The clock goes back by a minute after the fifth event.
    let ids: Vec<EventId> = [100, 101, 102, 200_000, 260_000, 200_001, 200_002, 300_000].map(id).into();
    for id in &ids {
        store.append(Arc::new(batch(*id))).await.unwrap();
    }
    let reader = Reader::open(&url).await.unwrap();
    for (id, seq) in ids.iter().zip(1..) {
        assert_eq!(reader.find(*id).await.unwrap().unwrap().seq, seq, "{id}");
    }
    for none in [id(0), id(150), id(400_000), EventId(Uuid::max())] {
        assert_eq!(reader.find(none).await.unwrap(), None);
    }
    let near = reader.fetch(near(id(101))).await.unwrap();
    assert_eq!(event_rows::events(&near).unwrap().len(), 1);

    let mut file = SqliteConnection::connect(&url).await.unwrap();
    let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {NEAR_SQL}")));
    for row in plan.fetch_all(&mut file).await.unwrap() {
        let step: String = row.get("detail");
        assert!(!["SCAN batch", "SCAN event"].contains(&&*step), "{step}");
    }
}
