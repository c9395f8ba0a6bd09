//! Events that moved to the archive: callers read and prove them as before, or get an error. No read leaves them out
//! silently.

mod commands;

use std::{collections::BTreeSet, path::PathBuf};

use logkey::{
    app::SystemClock,
    audit::{checkpoint::default_key_path, parsed_event::ParsedEvent},
    domain::{
        audit::{Actor, AuditOperation, Event, Kind},
        call::Action,
        time::Timestamp,
    },
    ports::{Clock as _, StoredEvent},
    store,
};
use tempfile::TempDir;
use tonic::transport::Endpoint;
use uuid::{NoContext, Uuid};

use super::*;
use crate::{
    harness::Postgres,
    process::{archiving::fill_with, logkey},
};

/// How many events are older than a day.
const OLD: usize = 1000;
/// How many of them are archived: whole tiles of 256.
const ARCHIVED: i64 = 768;

/// An event of one of two tenants, or of none.
fn event(ago: Duration, index: usize) -> Event {
    let time = SystemClock.now().minus(ago);
    let seconds = u64::try_from(time.as_secs()).unwrap();
    let request = Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, 0)).to_string();
    let tenant = [Some("payments"), Some("orders"), None].into_iter().nth(index % 3).flatten();
    Event {
        kind: Kind::Read,
        actor: Actor { tenant: tenant.map(|tenant| tenant.parse().unwrap()), ..Actor::default() },
        correlation: request.parse().unwrap(),
        // More than a connection buffers for a client that does not read.
        detail: Some("d".repeat(2000).into()),
        ..Event::for_service(AuditOperation::Rpc(Action::GetKeyAssociation), time)
    }
}

/// Many events that are two days old, and some new ones.
fn events() -> Vec<Event> {
    let old = (0..OLD).map(|index| event(Duration::from_hours(48), index));
    old.chain((0..30).map(|index| event(Duration::ZERO, index))).collect()
}

/// A log in a folder. Its oldest events are in the archive next to it, and no longer in the store.
pub(crate) struct Aged {
    folder: TempDir,
    /// The events before the service started, oldest first.
    events: Vec<StoredEvent>,
}

impl Aged {
    async fn new() -> Self {
        Self::with(events()).await
    }

    async fn with(events: Vec<Event>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("logkey.db");
        let config = store::Config::of_file(&file);
        let events = fill_with(&config, &default_key_path(&file), events).await;
        let aged = Self { folder, events };
        let archive = aged.archive().display().to_string();
        let done =
            logkey(&["audit", "archive", "--older-than", "1d", "--out", &archive, "--store", &config.url])
                .output()
                .unwrap();
        assert!(done.status.success(), "{done:?}");
        aged
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    /// A service on the log that knows its archive.
    async fn serve(&self) -> Service {
        self.serve_with(&format!("archive = \"{}\"\n", self.archive().display())).await
    }

    /// A service on the log with these settings of the audit log.
    async fn serve_with(&self, audit: &str) -> Service {
        let url = store::Config::of_file(&self.folder.path().join("logkey.db")).url;
        Plan::default().store(&format!("url = \"{url}\"\n[audit]\n{audit}")).start().await
    }

    /// The positions and bytes of the events that a tenant may see, or of all.
    fn visible(&self, tenant: Option<&str>) -> Vec<(i64, String)> {
        visible(&self.events, tenant)
    }

    /// An archived event of the tenant `payments`.
    fn archived(&self) -> &StoredEvent {
        self.events.iter().skip(300).find(|event| event.tenant.as_deref() == Some("payments")).unwrap()
    }
}

fn visible(events: &[StoredEvent], tenant: Option<&str>) -> Vec<(i64, String)> {
    let visible = events.iter().filter(|event| tenant.is_none() || event.tenant.as_deref() == tenant);
    visible.map(|event| (i64::try_from(event.seq).unwrap(), event.body.clone())).collect()
}

fn bytes(events: Vec<AuditEvent>) -> Vec<(i64, String)> {
    events.into_iter().map(|event| (event.position, event.json)).collect()
}

fn filter(action: &str) -> AuditEventFilter {
    AuditEventFilter { action: action.into(), ..AuditEventFilter::default() }
}

fn reads() -> AuditEventFilter {
    filter("GetKeyAssociation")
}

/// Follows the log until it has `count` events.
async fn follow(stream: &mut Streaming<WatchAuditEventsResponse>, count: usize) -> Vec<(i64, String)> {
    bytes(next(stream, count).await)
}

/// The position in the metadata of the error.
fn first_position(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    assert_eq!((&*reason(status), status.code()), ("AUDIT_EVENTS_ARCHIVED", Code::OutOfRange), "{status}");
    status.get_details_error_info().unwrap().metadata.get("first_position").unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_continue_in_the_archive_and_show_each_tenant_its_own_events() {
    let aged = Aged::new().await;
    let service = aged.serve().await;
    for (reader, tenant) in [
        (service.caller("payments", OWN), Some("payments")),
        (service.caller("orders", OWN), Some("orders")),
        (service.caller("orders", EVERYTHING), None),
    ] {
        for page_size in [500, 90] {
            let mut listed = bytes(reader.all_events(reads(), page_size).await);
            listed.reverse();
            assert!(listed == aged.visible(tenant), "{tenant:?}: {} events", listed.len());
        }
    }
    // A filter that no archived event matches.
    let reader = service.caller("payments", OWN);
    assert_eq!(reader.all_events(filter("AssociateKmsKey"), 500).await, []);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_time_and_an_id_find_archived_events_that_are_not_in_order() {
    // Eight days with many tiles. The events of a day are in any order within an hour.
    let minutes = |day: u64, index: u64| Duration::from_mins((day * 24 + 6) * 60 + index * 7 % 60);
    let days = (2..10).flat_map(|day| (0..300).map(move |index| (day, index)));
    let events = days.map(|(day, index)| event(minutes(day, index), usize::try_from(index).unwrap()));
    let aged = Aged::with(events.collect()).await;
    let service = aged.serve().await;
    let operator = service.caller("orders", EVERYTHING);
    let wire = |at: Timestamp| {
        let nanos = i32::try_from(at.as_micros().rem_euclid(1_000_000) * 1000).unwrap();
        Some(prost_types::Timestamp { seconds: at.as_secs(), nanos })
    };
    let now = SystemClock.now();
    let ago = |minutes: u64| now.minus(Duration::from_mins(minutes));
    let bounds = (0..5).map(|step| ago(60 * (54 + step * 44) + 11 * step));
    let bounds: Vec<_> = [None].into_iter().chain(bounds.map(Some)).collect();
    for since in &bounds {
        for until in &bounds {
            let range = AuditEventFilter {
                start_time: since.and_then(wire),
                end_time: until.and_then(wire),
                ..reads()
            };
            let mut listed = bytes(operator.all_events(range, 500).await);
            listed.reverse();
            let within = |event: &&StoredEvent| {
                let at = ParsedEvent::try_from(*event).unwrap().time;
                since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until)
            };
            let expected: Vec<StoredEvent> = aged.events.iter().filter(within).cloned().collect();
            assert!(listed == visible(&expected, None), "{since:?} to {until:?}: {}", listed.len());
        }
    }
    for event in aged.events.iter().step_by(67) {
        let proof = operator.included(&event.id.to_string(), 0).await.unwrap();
        assert_eq!(proof.leaf_index + 1, i64::try_from(event.seq).unwrap());
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_an_archived_position_misses_no_event() {
    let aged = Aged::new().await;
    let service = aged.serve().await;
    let reader = service.caller("orders", EVERYTHING);
    for (after, tenant) in [(0, None), (1, None), (300, None), (ARCHIVED - 1, None), (ARCHIVED, None)] {
        let mut stream = reader.watch(Some(after), reads()).await.unwrap();
        let expected: Vec<_> = aged.visible(tenant).into_iter().filter(|(at, _)| *at > after).collect();
        assert!(follow(&mut stream, expected.len()).await == expected, "after {after}");
    }
    let own = service.caller("payments", OWN);
    let mut stream = own.watch(Some(0), AuditEventFilter::default()).await.unwrap();
    let expected = aged.visible(Some("payments"));
    assert!(follow(&mut stream, expected.len()).await.starts_with(&expected));
    // The stream continues with new events.
    service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    while !next(&mut stream, 1).await.iter().any(|event| event.kind == "outcome") {}
    drop(stream);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_event_is_proved_to_its_tenant_only() {
    let aged = Aged::new().await;
    let service = aged.serve().await;
    let (own, other) = (service.caller("payments", OWN), service.caller("orders", OWN));
    let event = aged.archived();
    let id = event.id.to_string();
    let proof = own.included(&id, 0).await.unwrap();
    assert_eq!(proof.leaf_index + 1, i64::try_from(event.seq).unwrap());
    let verifiers = own.checkpoint().await.unwrap().verifier_keys;
    let signed = checkpoint::read(proof.checkpoint.as_bytes(), "logkey", &verifiers).unwrap();
    let leaf = tlog_tiles::record_hash(event.body.as_bytes());
    assert_eq!(leaf.0.to_vec(), proof.leaf_hash);
    tlog_tiles::check_record(&hashes(&proof.hashes), signed.size(), *signed.hash(), event.seq - 1, leaf)
        .unwrap();
    // A checkpoint from before the event moved proves it too.
    let size = i64::try_from(event.seq).unwrap() + 5;
    assert_eq!(own.included(&id, size).await.unwrap().tree_size, size);
    // To another tenant it does not exist.
    let theirs = other.included(&id, 0).await.unwrap_err();
    let absent = event.id.to_string().replace(&id[24..], "0123456789ab");
    let none = other.included(&absent, 0).await.unwrap_err();
    assert_eq!(reason(&theirs), "AUDIT_EVENT_NOT_FOUND");
    assert_eq!(theirs.message().replace(&id, "ID"), none.message().replace(&absent, "ID"));
    service.caller("orders", EVERYTHING).included(&id, 0).await.unwrap();
    // Every archived event is found by its id.
    let operator = service.caller("orders", EVERYTHING);
    for event in aged.events.iter().step_by(97) {
        let proof = operator.included(&event.id.to_string(), 0).await.unwrap();
        assert_eq!(proof.leaf_index + 1, i64::try_from(event.seq).unwrap());
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_archive_every_read_of_archived_events_fails_and_says_where_the_log_begins() {
    let aged = Aged::new().await;
    let first = (ARCHIVED + 1).to_string();
    let elsewhere = format!("archive = \"{}\"\n", aged.folder.path().join("elsewhere").display());
    for settings in ["", &elsewhere] {
        let service = aged.serve_with(settings).await;
        let reader = service.caller("payments", OWN);
        // The stored events are listed. Then an error says that there are more.
        let (mut listed, mut page_token) = (Vec::new(), String::new());
        let refused = loop {
            let message = ListAuditEventsRequest { page_size: 100, page_token, filter: Some(reads()) };
            match reader.events(message).await {
                Ok(page) => {
                    listed.extend(bytes(page.events));
                    assert_ne!(page.next_page_token, "", "a list ended without the archived events");
                    page_token = page.next_page_token;
                }
                Err(refused) => break refused,
            }
        };
        assert_eq!(first_position(&refused), first);
        listed.reverse();
        let stored: Vec<_> =
            aged.visible(Some("payments")).into_iter().filter(|(at, _)| *at > ARCHIVED).collect();
        assert!(listed == stored);
        for after in [0, 1, ARCHIVED - 1] {
            let refused = reader.watch(Some(after), AuditEventFilter::default()).await.unwrap_err();
            assert_eq!(first_position(&refused), first);
            assert!(refused.message().contains(&format!("after_position {ARCHIVED}")), "{refused}");
        }
        let refused = reader.included(&aged.archived().id.to_string(), 0).await.unwrap_err();
        assert_eq!(first_position(&refused), first);
        // What needs no archived event works.
        let mut stream = reader.watch(Some(ARCHIVED), reads()).await.unwrap();
        assert!(follow(&mut stream, stored.len()).await == stored);
        let seconds = jiff::Timestamp::now().as_second() - 3600;
        let start_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
        let recent = AuditEventFilter { start_time, ..reads() };
        assert_eq!(reader.all_events(recent, 500).await.len(), 10);
        let absent = uuid::Uuid::now_v7().to_string();
        assert_eq!(reason(&reader.included(&absent, 0).await.unwrap_err()), "AUDIT_EVENT_NOT_FOUND");
        drop(stream);
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_or_missing_files_of_the_archive_are_never_shown_as_the_log() {
    let aged = Aged::new().await;
    let file = aged.archive().join("tile/entries/001");
    let intact = std::fs::read(&file).unwrap();
    let service = aged.serve().await;
    let reader = service.caller("orders", EVERYTHING);
    // The same length, and another tenant.
    let at = intact.windows(8).position(|part| part == b"payments").unwrap();
    let changed = [&intact[..at], b"paimants", &intact[at + 8..]].concat();
    let cut = intact[..intact.len() - 9].to_vec();
    for (content, expected) in [
        (Some(changed), "AUDIT_UNAVAILABLE"),
        (Some(cut), "AUDIT_UNAVAILABLE"),
        (None, "AUDIT_EVENTS_ARCHIVED"),
    ] {
        match content {
            Some(content) => std::fs::write(&file, content).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let mut stream = reader.watch(Some(0), reads()).await.unwrap();
        let arrived = follow(&mut stream, 256).await;
        assert!(arrived == aged.visible(None)[..256], "the file before it is intact");
        assert_eq!(reason(&end(stream).await), expected);
        assert_eq!(reason(&reader.watch(Some(300), reads()).await.unwrap_err()), expected);
        let refused = reader.included(&aged.archived().id.to_string(), 0).await.unwrap_err();
        assert_eq!(reason(&refused), expected);
        let (mut seen, mut page_token) = (BTreeSet::new(), String::new());
        let refused = loop {
            let message = ListAuditEventsRequest { page_size: 500, page_token, filter: Some(reads()) };
            match reader.events(message).await {
                Ok(page) => {
                    seen.extend(page.events.iter().map(|event| event.position));
                    page_token = page.next_page_token;
                }
                Err(refused) => break refused,
            }
        };
        assert_eq!((reason(&refused).as_str(), seen.first()), (expected, Some(&513)));
        std::fs::write(&file, &intact).unwrap();
    }
    let mut stream = reader.watch(Some(0), reads()).await.unwrap();
    follow(&mut stream, aged.events.len()).await;
    drop(stream);
    service.stop().await;
}

/// A service on PostgreSQL with old events, and a command that archives them while it runs.
struct Shared {
    postgres: Postgres,
    archive: TempDir,
    events: Vec<StoredEvent>,
    service: Service,
}

impl Shared {
    async fn new() -> Self {
        let (postgres, archive) = (Postgres::start().await, tempfile::tempdir().unwrap());
        let config = store::Config { url: postgres.url() };
        let events = fill_with(&config, &postgres.key_file(), events()).await;
        let settings = format!("archive = \"{}\"\n", archive.path().join("archive").display());
        let service = Plan::default().over_with(&postgres, &settings).start().await;
        Self { postgres, archive, events, service }
    }

    /// Moves the old events out of the store.
    async fn archive(&self) {
        let config = self.service.settings().display().to_string();
        let arguments = ["audit", "archive", "--older-than", "1d", "--config", &config];
        let mut command = logkey(&arguments);
        let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(done.status.success(), "{done:?}");
        let open = store::open_reader(&store::Config { url: self.postgres.url() }).await.unwrap();
        let first = open.log.after(0, 1).await.unwrap().swap_remove(0);
        assert_eq!(i64::try_from(first.seq).unwrap(), ARCHIVED + 1);
        assert!(self.archive.path().join("archive/tile/entries/002").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_continues_over_events_that_were_archived_between_two_pages() {
    let shared = Shared::new().await;
    let reader = shared.service.caller("payments", OWN);
    let request = |page_token| ListAuditEventsRequest { page_size: 100, page_token, filter: Some(reads()) };
    let page = reader.events(request(String::new())).await.unwrap();
    let (mut listed, mut page_token) = (bytes(page.events), page.next_page_token);
    shared.archive().await;
    while !page_token.is_empty() {
        let page = reader.events(request(page_token)).await.unwrap();
        listed.extend(bytes(page.events));
        page_token = page.next_page_token;
    }
    listed.reverse();
    assert!(listed == visible(&shared.events, Some("payments")), "{} events", listed.len());
    shared.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_falls_behind_the_archiving_misses_no_event() {
    let shared = Shared::new().await;
    let token = shared.service.issuer.token("orders", EVERYTHING);
    let endpoint = Endpoint::from_shared(format!("http://{}", shared.service.address)).unwrap();
    let reader = Caller::new(endpoint.initial_stream_window_size(65_535).connect_lazy(), &token);
    // The client reads nothing while the events leave the store.
    let mut slow = reader.watch(Some(0), reads()).await.unwrap();
    shared.archive().await;
    let expected = visible(&shared.events, None);
    assert!(follow(&mut slow, expected.len()).await == expected);
    drop(slow);
    shared.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_see_every_event_while_the_archiving_runs() {
    let shared = Shared::new().await;
    let reader = shared.service.caller("orders", EVERYTHING);
    let expected = visible(&shared.events, None);
    let archiving = shared.archive();
    let reading = async {
        for _ in 0..6 {
            let mut listed = bytes(reader.all_events(reads(), 70).await);
            listed.reverse();
            assert!(listed == expected, "{} events", listed.len());
            let mut stream = reader.watch(Some(0), reads()).await.unwrap();
            assert!(follow(&mut stream, expected.len()).await == expected);
            reader.included(&shared.events[400].id.to_string(), 0).await.unwrap();
        }
    };
    tokio::join!(archiving, reading);
    shared.service.stop().await;
}
