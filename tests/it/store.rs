//! What the store promises, in a file and on a server: the same assertions over both.
#![expect(clippy::indexing_slicing, reason = "a test that panics has failed")]

mod history;
mod log;
mod tree;

use std::sync::Arc;

use logkey::{
    domain::{audit::EventId, tenant::TenantId, time::Timestamp},
    ports::{Batch, EventIndexFields},
    store::{self, Store},
};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use uuid::Uuid;

use crate::harness::Postgres;

/// Where a store is.
pub(crate) enum Backend {
    File(TempDir),
    Server(Postgres),
}

impl Backend {
    fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    async fn server() -> Self {
        Self::Server(Postgres::start().await)
    }

    pub(crate) async fn open(&self) -> Store {
        let url = match self {
            Self::File(folder) => format!("sqlite://{}/logkey.db", folder.path().display()),
            Self::Server(postgres) => postgres.url(),
        };
        store::open(&store::Config { url }).await.unwrap()
    }

    /// Puts an event of another writer's at a place of the log, behind the store's back.
    pub(crate) async fn obstruct(&self, seq: i64) {
        match self {
            Self::File(_) => self.execute("INSERT INTO event (seq, body) VALUES ($1, '{}')", seq).await,
            Self::Server(_) => self.execute(OBSTRUCT, seq).await,
        }
    }

    /// Takes it away again.
    pub(crate) async fn clear(&self, seq: i64) {
        self.execute("DELETE FROM event WHERE seq = $1", seq).await;
    }

    /// How much is left that leads to batches which are not there any more.
    pub(crate) async fn without_batch(&self) -> i64 {
        let Self::File(folder) = self else { return 0 };
        let options = SqliteConnectOptions::new().filename(folder.path().join("logkey.db"));
        let mut file = options.connect().await.unwrap();
        let left = sqlx::query_scalar(WITHOUT_BATCH).fetch_one(&mut file).await.unwrap();
        file.close().await.unwrap();
        left
    }

    async fn execute(&self, sql: &'static str, seq: i64) {
        match self {
            Self::File(folder) => {
                let options = SqliteConnectOptions::new().filename(folder.path().join("logkey.db"));
                let mut file = options.connect().await.unwrap();
                sqlx::query(sql).bind(seq).execute(&mut file).await.unwrap();
                file.close().await.unwrap();
            }
            Self::Server(postgres) => {
                let mut session = sqlx::PgConnection::connect(&postgres.url()).await.unwrap();
                sqlx::query(sql).bind(seq).execute(&mut session).await.unwrap();
            }
        }
    }
}

const WITHOUT_BATCH: &str = "\
SELECT count(*) FROM (SELECT first FROM batch_of_tenant UNION ALL SELECT first FROM batch_of_call)
WHERE first NOT IN (SELECT first FROM batch)";
const OBSTRUCT: &str = "\
INSERT INTO event (seq, id, time, kind, action, correlation, body)
VALUES ($1, gen_random_uuid(), 0, 'lifecycle', 'Start', 'call', '{}')";

macro_rules! on_both {
    ($($file:ident::$claim:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $claim() { super::$file::$claim(super::Backend::file()).await; })+
        }
        mod postgres {
            $(#[tokio::test] async fn $claim() { super::$file::$claim(super::Backend::server().await).await; })+
        }
    };
}

on_both! {
    log::what_is_appended_is_read_in_its_order_by_place_by_id_and_by_every_filter,
    log::an_intent_is_open_until_its_outcome_is_known_or_it_is_settled,
    log::after_an_error_it_is_known_what_was_kept,
    log::places_go_on_behind_events_that_were_moved_out,
    history::a_key_that_is_replaced_stays_known_and_an_older_reading_takes_nothing_from_it,
    history::a_key_is_found_by_what_has_it_and_what_had_it_page_by_page,
    history::what_a_survey_did_not_find_is_gone_until_it_is_seen_again,
    history::a_request_is_remembered_for_a_day_by_its_tenant,
    tree::checkpoints_stay_one_an_hour_and_every_handover_and_tiles_grow,
    tree::a_sink_goes_on_from_where_it_was_and_checkpoints_wait_for_it,
}

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(crate) fn id(number: u128) -> EventId {
    EventId(Uuid::from_u128(number))
}

/// An event by its number, at that second.
pub(crate) fn indexed(number: u128) -> EventIndexFields {
    EventIndexFields {
        id: id(number),
        time: at(i64::try_from(number).unwrap()),
        tenant: None,
        kind: "lifecycle",
        action: "Start",
        account: None,
        correlation: "call".parse().unwrap(),
        outcome: Some("OK"),
        closes: None,
        start: 0,
        len: 0,
    }
}

/// A batch of these events, with bodies.
pub(crate) fn batch(events: impl IntoIterator<Item = (EventIndexFields, String)>) -> Batch {
    let mut batch = Batch::default();
    for (event, body) in events {
        let (start, len) = (batch.bytes.len(), body.len());
        batch.bytes.extend(body.as_bytes());
        batch.events.push(EventIndexFields { start, len, ..event });
    }
    batch
}

pub(crate) async fn append(store: &Store, batch: Batch) {
    store.events.append(Arc::new(batch)).await.unwrap();
}

/// What the bytes of such an event say of that by which it is found.
pub(crate) fn body_of(event: &EventIndexFields) -> serde_json::Value {
    serde_json::json!({
        "time": event.time.as_millis(),
        "status_id": if event.outcome == Some("OK") { 1 } else { 2 },
        "status_code": event.outcome.filter(|outcome| *outcome != "OK"),
        "metadata": {
            "uid": event.id.to_string(),
            "tenant_uid": event.tenant.as_ref().map(TenantId::as_str),
            "correlation_uid": event.correlation.as_str(),
            "event_code": event.kind,
        },
        "api": { "operation": event.action },
        "cloud": { "account": event.account.as_ref().map(|account| serde_json::json!({ "uid": account.as_str() })) },
        "unmapped": { "logkey": {
            "time_us": event.time.as_micros(),
            "closes": event.closes.map(|intent| intent.to_string()),
        } },
    })
}

/// An event, and bytes that say so.
pub(crate) fn whole(event: EventIndexFields) -> (EventIndexFields, String) {
    let body = body_of(&event).to_string();
    (event, body)
}

/// Appends plain events with these numbers.
pub(crate) async fn plain(store: &Store, numbers: std::ops::RangeInclusive<u128>) {
    append(store, batch(numbers.map(|number| whole(indexed(number))))).await;
}
