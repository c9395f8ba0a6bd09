//! The guarantees of the store: the same tests run with a SQLite file and a PostgreSQL server.
#![expect(clippy::indexing_slicing, reason = "a test that panics has failed")]

mod bulk;
mod coverage;
mod history;
mod log;
mod rules;
mod tree;
mod wal;

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

/// The backend of a store.
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

    /// Inserts an event at a position of the log without the store, as another writer would.
    pub(crate) async fn obstruct(&self, seq: i64) {
        match self {
            Self::File(_) => self.execute("INSERT INTO event (seq, body) VALUES ($1, '{}')", seq).await,
            Self::Server(_) => self.execute(OBSTRUCT, seq).await,
        }
    }

    /// Deletes that event.
    pub(crate) async fn clear(&self, seq: i64) {
        self.execute("DELETE FROM event WHERE seq = $1", seq).await;
    }

    /// The number of index rows that refer to deleted batches.
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
    ($($file:ident::$test_name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $test_name() { super::$file::$test_name(super::Backend::file()).await; })+
        }
        mod postgres {
            $(#[tokio::test] async fn $test_name() { super::$file::$test_name(super::Backend::server().await).await; })+
        }
    };
}

on_both! {
    bulk::a_job_is_planned_run_and_read_back,
    bulk::a_job_pauses_above_its_failure_limit_and_not_at_it,
    bulk::a_canary_is_never_exceeded,
    bulk::a_worker_without_a_claim_changes_nothing,
    bulk::workers_that_claim_and_store_at_the_same_time_do_every_item_once,
    bulk::a_step_that_is_stored_again_changes_nothing,
    bulk::work_is_claimed_from_all_tenants_in_turn,
    bulk::a_request_creates_one_job_and_tenants_have_a_limit,
    bulk::ended_jobs_are_deleted_after_their_retention,
    coverage::an_evaluation_replaces_the_one_before_and_keeps_since,
    coverage::counts_add_up_by_rule_key_and_location,
    coverage::an_unreadable_location_keeps_its_numbers_and_says_why,
    coverage::findings_are_listed_in_order_and_by_every_filter,
    coverage::the_history_has_one_point_a_day_with_all_locations,
    coverage::what_no_longer_exists_is_deleted,
    coverage::concurrent_evaluations_of_a_location_leave_one_of_them,
    log::appended_events_are_read_by_position_id_and_every_filter,
    log::an_intent_is_open_until_its_outcome_or_reconciliation,
    log::after_an_error_recovery_tells_what_was_stored,
    log::a_batch_is_stored_with_its_tag,
    log::the_log_goes_on_only_when_rows_of_others_are_gone,
    log::positions_continue_after_archived_events,
    history::a_replaced_key_stays_in_the_history_and_older_reads_change_nothing,
    history::resources_are_found_by_current_and_former_key_in_pages,
    history::a_resource_missing_in_a_scan_is_deleted_until_observed_again,
    history::a_request_is_recorded_for_a_day_for_its_tenant,
    rules::a_rule_is_changed_only_in_the_version_that_was_read,
    rules::rules_are_listed_by_priority_and_id_in_pages,
    rules::a_request_creates_one_rule_and_tenants_have_a_limit_of_rules,
    rules::an_evaluation_pauses_a_rule_only_in_the_evaluated_version,
    rules::a_rule_of_the_configuration_keeps_its_status_until_it_changes,
    rules::one_worker_evaluates_a_tenant_and_changes_meanwhile_are_not_lost,
    rules::repairs_are_counted_by_tenant_and_resource_and_forgotten,
    tree::one_checkpoint_an_hour_and_every_handover_is_stored,
    tree::a_sink_resumes_at_its_position_and_checkpoints_wait_for_it,
}

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(crate) fn id(number: u128) -> EventId {
    EventId(Uuid::from_u128(number))
}

/// An event with this number as its id and its time in seconds.
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

/// The body of an event, with the fields that the index columns repeat.
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

/// An event and its matching body.
pub(crate) fn whole(event: EventIndexFields) -> (EventIndexFields, String) {
    let body = body_of(&event).to_string();
    (event, body)
}

/// Appends plain events with these numbers.
pub(crate) async fn plain(store: &Store, numbers: std::ops::RangeInclusive<u128>) {
    append(store, batch(numbers.map(|number| whole(indexed(number))))).await;
}
