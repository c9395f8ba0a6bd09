//! What the store promises, in a file and on a server: the same assertions over both.
#![expect(clippy::indexing_slicing, reason = "a test that panics has failed")]

mod history;
mod log;
mod tree;

use std::sync::Arc;

use logkey::{
    domain::{audit::EventId, time::Timestamp},
    ports::{Batch, Indexed},
    store::{self, Store},
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::harness::Postgres;

/// Where a store is.
pub(crate) enum Place {
    File(TempDir),
    Server(Postgres),
}

impl Place {
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
}

macro_rules! on_both {
    ($($file:ident::$claim:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $claim() { super::$file::$claim(super::Place::file()).await; })+
        }
        mod postgres {
            $(#[tokio::test] async fn $claim() { super::$file::$claim(super::Place::server().await).await; })+
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
pub(crate) fn indexed(number: u128) -> Indexed {
    Indexed {
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
pub(crate) fn batch(events: impl IntoIterator<Item = (Indexed, String)>) -> Batch {
    let mut batch = Batch::default();
    for (event, body) in events {
        let (start, len) = (batch.bytes.len(), body.len());
        batch.bytes.extend(body.as_bytes());
        batch.events.push(Indexed { start, len, ..event });
    }
    batch
}

pub(crate) async fn append(store: &Store, batch: Batch) {
    store.events.append(Arc::new(batch)).await.unwrap();
}

/// Appends plain events with these numbers.
pub(crate) async fn plain(store: &Store, numbers: std::ops::RangeInclusive<u128>) {
    append(store, batch(numbers.map(|number| (indexed(number), format!("{{\"n\":{number}}}"))))).await;
}
