//! `logkey events show`: the whole story of one call.

use std::{cell::RefCell, ops::ControlFlow};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    filter::timestamp,
    list::{self, Archive, Found},
    show,
};
use crate::{
    failure::Failure,
    output::{self, Report, to_json},
    proto::{
        AuditEvent, AuditEventFilter, ListAuditEventsResponse, WatchAuditEventsRequest,
        audit_service_client::AuditServiceClient,
    },
    session::Session,
    verbs::shared::ServiceArgs,
};

/// The maximum number of events of one call: more than any call has.
const MAX_EVENTS: usize = 5_000;
/// How far the time of an event can be from that of its id.
const ID_TOLERANCE: SignedDuration = SignedDuration::from_secs(5);
/// How far the times of two events of one call can be apart: a client may repeat a request for 24 hours.
const CALL_DURATION: SignedDuration = SignedDuration::from_hours(25);

/// The arguments of `logkey events show`.
#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// The id of an event, its position, or the request id of a call
    event: String,
}

pub(super) async fn run(session: &Session, args: &ShowArgs, service: &ServiceArgs) -> Result<(), Failure> {
    let text = args.event.as_str();
    let mut events = match text.parse::<i64>() {
        Ok(position) => story(session, at(session, position, service).await?).await?,
        Err(_not_a_position) => named(session, text).await?,
    };
    if events.is_empty() {
        return Err(Failure::NotFound(format!(
            "no event has the id, position or request id {text}, or you may not see it"
        )));
    }
    events.sort_by_key(|event| event.position);
    let notes = events.iter().filter_map(|event| {
        let requests = show::aws_requests(event);
        (!requests.is_empty()).then(|| format!("AWS request ids of {}: {requests}", event.position))
    });
    let notes: Vec<String> = notes.collect();
    let request = events.first().map(|event| event.correlation_id.clone()).unwrap_or_default();
    let subject = events.first().map(|event| event.subject.clone()).unwrap_or_default();
    let table = show::table(&events, "");
    let response = ListAuditEventsResponse { events, ..ListAuditEventsResponse::default() };
    let report = Report::new(to_json(&response), table).detail("REQUEST", request).detail("SUBJECT", subject);
    Ok(output::print(&report.notes(notes), &service.output)?)
}

/// Every event of the call with this request id, or else of the call that the event with this id belongs to. Ids of the
/// service say when they were made, so these are also found in the archive.
async fn named(session: &Session, id: &str) -> Result<Vec<AuditEvent>, Failure> {
    let stored = of_call(session, id, None).await?;
    if let Some(at) = stored.events.first().map(time_of) {
        return with_archived(session, id, stored, at).await;
    }
    let archived_through = stored.archived_through;
    let found = match time_in(id) {
        None => Vec::new(),
        Some(made) => match with_id(session, id, made).await? {
            None => with_archived(session, id, stored, Some(made)).await?,
            event => story(session, event).await?,
        },
    };
    if found.is_empty() && archived_through > 0 {
        return Err(Failure::NotFound(format!(
            "no event has the id or request id {id}, or you may not see it; not all archived events (up to position {archived_through}) were searched: `logkey events list --archived --request {id}` searches them"
        )));
    }
    Ok(found)
}

/// Every event of the call that this event belongs to.
async fn story(session: &Session, event: Option<AuditEvent>) -> Result<Vec<AuditEvent>, Failure> {
    match event {
        None => Ok(Vec::new()),
        Some(event) if event.correlation_id.is_empty() => Ok(vec![event]),
        Some(event) => {
            let id = &event.correlation_id;
            with_archived(session, id, of_call(session, id, None).await?, time_of(&event)).await
        }
    }
}

/// The events of the call that were found in the store, and those in the archive around a time of the call.
async fn with_archived(
    session: &Session,
    request_id: &str,
    stored: Found,
    at: Option<Timestamp>,
) -> Result<Vec<AuditEvent>, Failure> {
    let Some(at) = at.filter(|_| stored.archived_through > 0) else { return Ok(stored.events) };
    let mut events = of_call(session, request_id, Some(at)).await?.events;
    events.extend(stored.events);
    events.sort_by_key(|event| event.position);
    events.dedup_by_key(|event| event.position);
    Ok(events)
}

/// The events with this request id in the store, or also in the archive around this time.
async fn of_call(session: &Session, request_id: &str, at: Option<Timestamp>) -> Result<Found, Failure> {
    let filter = AuditEventFilter { correlation_id: request_id.to_owned(), ..AuditEventFilter::default() };
    match at {
        None => list::fetch(session, &filter, MAX_EVENTS, Archive::Skip).await,
        Some(at) => {
            list::fetch(session, &around(filter, at, CALL_DURATION), MAX_EVENTS, Archive::Search).await
        }
    }
}

/// The event with this id, which was made at this time.
async fn with_id(session: &Session, id: &str, made: Timestamp) -> Result<Option<AuditEvent>, Failure> {
    let filter = around(AuditEventFilter::default(), made, ID_TOLERANCE);
    let found = list::fetch(session, &filter, usize::MAX, Archive::Search).await?;
    Ok(found.events.into_iter().find(|event| event.id == id))
}

fn around(filter: AuditEventFilter, at: Timestamp, by: SignedDuration) -> AuditEventFilter {
    AuditEventFilter {
        start_time: at.checked_sub(by).ok().map(timestamp),
        end_time: at.checked_add(by).ok().map(timestamp),
        ..filter
    }
}

/// When this id was made, if it is a UUID of version 7.
fn time_in(id: &str) -> Option<Timestamp> {
    let (seconds, nanos) = Uuid::parse_str(id).ok()?.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
}

fn time_of(event: &AuditEvent) -> Option<Timestamp> {
    let time = event.time.as_ref()?;
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// The event at this position.
async fn at(session: &Session, position: i64, service: &ServiceArgs) -> Result<Option<AuditEvent>, Failure> {
    let found = RefCell::new(None);
    let after = position.checked_sub(1).filter(|after| *after >= 0);
    let after = after.ok_or_else(|| Failure::Usage("positions count from 1".to_owned()))?;
    let reading = session.follow(
        || WatchAuditEventsRequest { after_position: Some(after), filter: None },
        async |channel, request| AuditServiceClient::new(channel).watch_audit_events(request).await,
        |response| {
            found.replace(response.events.into_iter().find(|event| event.position == position));
            let is_past = found.borrow().is_some() || response.position >= position;
            Ok(if is_past { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        },
    );
    // The stream waits for the next event if the caller may not see this one and none follows.
    match tokio::time::timeout(service.connection.timeout, reading).await {
        Ok(Ok(())) => Ok(found.into_inner()),
        // The service accepts no position after the last event.
        Ok(Err(Failure::Refused(status))) if status.code() == tonic::Code::InvalidArgument => Ok(None),
        Ok(Err(failure)) => Err(failure),
        Err(_elapsed) => Ok(None),
    }
}
