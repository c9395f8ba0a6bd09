//! `logkey events show`: the whole story of one call.

use std::{cell::RefCell, ops::ControlFlow};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{filter::timestamp, list, show};
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
        Err(_not_a_position) => match of_call(session, text).await? {
            events if events.is_empty() => story(session, with_id(session, text).await?).await?,
            events => events,
        },
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
    let response = ListAuditEventsResponse { events, next_page_token: String::new() };
    let report = Report::new(to_json(&response), table).detail("REQUEST", request).detail("SUBJECT", subject);
    Ok(output::print(&report.notes(notes), &service.output)?)
}

/// Every event of the call that this event belongs to.
async fn story(session: &Session, event: Option<AuditEvent>) -> Result<Vec<AuditEvent>, Failure> {
    match event {
        None => Ok(Vec::new()),
        Some(event) if event.correlation_id.is_empty() => Ok(vec![event]),
        Some(event) => of_call(session, &event.correlation_id).await,
    }
}

async fn of_call(session: &Session, request_id: &str) -> Result<Vec<AuditEvent>, Failure> {
    let filter = AuditEventFilter { correlation_id: request_id.to_owned(), ..AuditEventFilter::default() };
    list::fetch(session, &filter, MAX_EVENTS).await
}

/// The event with this id. A version 7 UUID says when it was made, so only that time is searched.
async fn with_id(session: &Session, id: &str) -> Result<Option<AuditEvent>, Failure> {
    let made = Uuid::parse_str(id).ok().and_then(|id| id.get_timestamp()).map(|time| time.to_unix());
    let made = made.and_then(|(seconds, nanos)| {
        Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
    });
    let Some(made) = made else { return Ok(None) };
    let filter = AuditEventFilter {
        start_time: made.checked_sub(ID_TOLERANCE).ok().map(timestamp),
        end_time: made.checked_add(ID_TOLERANCE).ok().map(timestamp),
        ..AuditEventFilter::default()
    };
    let events = list::fetch(session, &filter, usize::MAX).await?;
    Ok(events.into_iter().find(|event| event.id == id))
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
        Ok(read) => read.map(|()| found.into_inner()),
        Err(_elapsed) => Ok(None),
    }
}
