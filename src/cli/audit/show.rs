//! `logkey audit show`: prints the story of one call: what was asked, and each event until its end.

use std::process::ExitCode;

use clap::Args;
use logkey_client::output::{OutputArgs, print, print_text};
use uuid::Uuid;

use super::{failure::Failure, log_location::LogLocation, story};
use crate::{
    audit::parsed_event::ParsedEvent,
    domain::audit::EventId,
    ports::{EventFilter, EventReader, StoredEvent},
};

/// The maximum number of events of one call. A client can use the same request id again and again.
const MAX_EVENTS: u32 = 500;

/// The arguments of `logkey audit show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    location: LogLocation,
    /// The position or the id of an event, or the request id of a call.
    event: String,
    /// Print exactly the stored bytes of the event, on one line.
    #[arg(long, conflicts_with = "output")]
    raw: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: ShowArgs) -> Result<ExitCode, Failure> {
    let reader = args.location.open().await?.log;
    let named = named(&*reader, &args.event).await?;
    if args.raw {
        named.iter().try_for_each(|event| print_text(&event.body))?;
        return Ok(ExitCode::SUCCESS);
    }
    let [event] = &*named else { return show(&named, &args.output) };
    show(&call_of(&*reader, event).await?, &args.output)
}

fn show(events: &[StoredEvent], output: &OutputArgs) -> Result<ExitCode, Failure> {
    print(&story::report(events)?, output)?;
    Ok(ExitCode::SUCCESS)
}

/// The events that the argument names: one by its position or id, or all of a request.
async fn named(reader: &dyn EventReader, name: &str) -> Result<Vec<StoredEvent>, Failure> {
    if let Ok(position @ 1..) = name.parse::<u64>() {
        let found = reader.after(position - 1, 1).await?;
        if found.first().is_some_and(|event| event.seq == position) {
            return Ok(found);
        }
    }
    if let Ok(id) = name.parse::<Uuid>()
        && let Some(event) = reader.find(EventId(id)).await?
    {
        return Ok(vec![event]);
    }
    let filter = EventFilter { correlation: Some(name.to_owned()), ..EventFilter::default() };
    let found = reader.next(&filter, u64::MAX, MAX_EVENTS).await?;
    if found.is_empty() {
        let missing = format!(
            "the log has no event with the position, id or request id {name}; if it was archived, \
             `logkey audit prove --archive DIR` finds it by its id"
        );
        return Err(missing.into());
    }
    Ok(found)
}

/// The events of the call that an event belongs to. Tenants choose their request ids themselves, so another
/// tenant's call can have the same one.
async fn call_of(reader: &dyn EventReader, event: &StoredEvent) -> Result<Vec<StoredEvent>, Failure> {
    let view = ParsedEvent::try_from(event)?;
    if matches!(&*view.kind, "lifecycle" | "finding") {
        return Ok(vec![event.clone()]);
    }
    let tenant = view.tenant.as_deref().and_then(|tenant| tenant.parse().ok());
    let filter = EventFilter { correlation: Some(view.correlation), tenant, ..EventFilter::default() };
    let mut found = reader.next(&filter, u64::MAX, MAX_EVENTS).await?;
    found.retain(|other| other.tenant == event.tenant);
    if !found.contains(event) {
        found.push(event.clone());
    }
    Ok(found)
}
