//! `logkey audit show`: prints the story of one call: what was asked, and each event until its end.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use logkey_client::output::{OutputArgs, print, print_text};

use super::{
    archived::{WholeLog, is_recent},
    failure::Failure,
    log_location::LogLocation,
    story,
};
use crate::{
    audit::parsed_event::ParsedEvent,
    config::ArchiveTarget,
    domain::{audit::EventId, time::Timestamp},
    ports::{EventFilter, StoredEvent},
};

/// The maximum number of events of one call. A client can use the same request id again and again.
const MAX_EVENTS: u32 = 500;
/// How far the times of two events of one call can be apart: a client may repeat a request for 24 hours.
const CALL_DURATION: Duration = Duration::from_hours(25);

/// The arguments of `logkey audit show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    location: LogLocation,
    /// The position or the id of an event, or the request id of a call.
    event: String,
    /// The folder or bucket of the archive of older events [default: `audit.archive`].
    #[arg(long, value_name = "DIR")]
    archive: Option<ArchiveTarget>,
    /// Print exactly the stored bytes of the event, on one line.
    #[arg(long, conflicts_with = "output")]
    raw: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: ShowArgs) -> Result<ExitCode, Failure> {
    let log = WholeLog::open(&args.location, args.archive).await?;
    let named = named(&log, &args.event).await?;
    if args.raw {
        named.iter().try_for_each(|event| print_text(&event.body))?;
        return Ok(ExitCode::SUCCESS);
    }
    let [event] = &*named else { return show(&named, &args.output) };
    show(&call_of(&log, event).await?, &args.output)
}

fn show(events: &[StoredEvent], output: &OutputArgs) -> Result<ExitCode, Failure> {
    print(&story::report(events)?, output)?;
    Ok(ExitCode::SUCCESS)
}

/// The events that the argument names: one by its position or id, or all of a request.
async fn named(log: &WholeLog, name: &str) -> Result<Vec<StoredEvent>, Failure> {
    if let Ok(position @ 1..) = name.parse::<u64>() {
        let mut found = log.reader.after(position - 1, 1).await?;
        if found.first().is_some_and(|event| event.seq > position)
            && let Some(archive) = log.archive().await?
        {
            found = archive.at(position).await?.into_iter().collect();
        }
        if found.first().is_some_and(|event| event.seq == position) {
            return Ok(found);
        }
    }
    let id = name.parse().ok().map(EventId);
    if let Some(id) = id
        && let Some(event) = log.reader.find(id).await?
    {
        return Ok(vec![event]);
    }
    let filter = EventFilter { correlation: Some(name.to_owned()), ..EventFilter::default() };
    if let Some(event) = log.reader.list(&filter, None, 1).await?.first() {
        return of_request(log, &filter, ParsedEvent::try_from(event)?.time).await;
    }
    let missing = format!("the log has no event with the position, id or request id {name}");
    let Some(first) = log.first_stored().await? else { return Err(missing.into()) };
    let Some(archive) = log.archive().await? else {
        let last = first.seq - 1;
        return Err(format!(
            "{missing}; events 1 to {last} were archived: name their archive with --archive"
        )
        .into());
    };
    if let Some(id) = id
        && let Some(event) = archive.find(id).await?
    {
        return Ok(vec![event]);
    }
    let mut found = archive.list(&filter, first.seq, MAX_EVENTS).await?;
    found.reverse();
    if found.is_empty() { Err(missing.into()) } else { Ok(found) }
}

/// The events of the call that an event belongs to. Tenants choose their request ids themselves, so another
/// tenant's call can have the same one.
async fn call_of(log: &WholeLog, event: &StoredEvent) -> Result<Vec<StoredEvent>, Failure> {
    let view = ParsedEvent::try_from(event)?;
    if matches!(&*view.kind, "lifecycle" | "finding") {
        return Ok(vec![event.clone()]);
    }
    let tenant = view.tenant.as_deref().and_then(|tenant| tenant.parse().ok());
    let (filter, at) =
        (EventFilter { correlation: Some(view.correlation), tenant, ..EventFilter::default() }, view.time);
    let mut found = of_request(log, &filter, at).await?;
    found.retain(|other| other.tenant == event.tenant);
    if !found.contains(event) {
        found.push(event.clone());
    }
    Ok(found)
}

/// The events with the request id of the filter around a time of the call, oldest first.
async fn of_request(
    log: &WholeLog,
    filter: &EventFilter,
    at: Timestamp,
) -> Result<Vec<StoredEvent>, Failure> {
    let mut found = log.reader.next(filter, u64::MAX, MAX_EVENTS).await?;
    let Some(first) = log.first_stored().await? else { return Ok(found) };
    let since = Some(at.minus(CALL_DURATION));
    if is_recent(since, &first) {
        return Ok(found);
    }
    let Some(archive) = log.archive().await? else { return Ok(found) };
    let until = Some(at.plus(CALL_DURATION));
    let around = EventFilter { since, until, ..filter.clone() };
    // Events that are being removed from the store may have been found there too.
    found.retain(|event| event.seq >= first.seq);
    let mut archived = archive.list(&around, first.seq, MAX_EVENTS).await?;
    archived.reverse();
    archived.extend(found);
    archived.truncate(usize::try_from(MAX_EVENTS).unwrap_or(usize::MAX));
    Ok(archived)
}
