//! `logkey audit list`: prints events, newest first, or as they happen.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use logkey_client::output::{Format, OutputArgs, print, print_text, to_json};

use super::{
    failure::{self, Failure},
    filter::FilterArgs,
    log_location::LogLocation,
    report,
};
use crate::{
    audit::parsed_event::ParsedEvent,
    ports::{EventFilter, EventReader, StoredEvent},
};

/// How many events one query reads.
const PAGE: u32 = 500;
/// How often `--follow` looks for new events.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The arguments of `logkey audit list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    location: LogLocation,
    #[command(flatten)]
    filter: FilterArgs,
    /// The maximum number of events; with --follow, of those that happened before.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
    /// Print the events oldest first, and then each new event as it happens, until you press Ctrl-C.
    #[arg(long, short = 'f')]
    follow: bool,
    /// Print each event as it is stored: one JSON object on each line.
    #[arg(long, conflicts_with = "output")]
    json: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: ListArgs) -> Result<ExitCode, Failure> {
    let reader = args.location.open().await?.log;
    let filter = EventFilter::from(args.filter);
    let form = if args.json { Form::Stored } else { Form::Output(args.output) };
    if args.follow {
        return follow(&*reader, filter, args.limit, &form).await;
    }
    let mut found = newest(&*reader, &filter, args.limit).await?;
    found.retain(is_readable);
    form.print(&found)?;
    Ok(ExitCode::SUCCESS)
}

/// The newest `limit` events that match, the newest first.
async fn newest(
    reader: &dyn EventReader,
    filter: &EventFilter,
    limit: u32,
) -> Result<Vec<StoredEvent>, Failure> {
    let mut found: Vec<StoredEvent> = Vec::new();
    let mut remaining = limit;
    while remaining > 0 {
        let before = found.last().map(|event| event.seq);
        let page = reader.list(filter, before, remaining.min(PAGE)).await?;
        let Some(count) = u32::try_from(page.len()).ok().filter(|count| *count > 0) else { break };
        remaining = remaining.saturating_sub(count);
        found.extend(page);
    }
    Ok(found)
}

/// Prints the newest `limit` events, and then those that follow. It ends when the reader of the output does.
async fn follow(
    reader: &dyn EventReader,
    filter: EventFilter,
    limit: u32,
    form: &Form,
) -> Result<ExitCode, Failure> {
    let end = reader.list(&EventFilter::default(), None, 1).await?.first().map_or(0, |event| event.seq);
    let mut first = newest(reader, &filter, limit).await?;
    first.reverse();
    let mut after = first.last().map_or(end, |event| event.seq);
    form.print_lines(&first)?;
    loop {
        let filter = EventFilter { after: Some(after), ..filter.clone() };
        let page = reader.next(&filter, u64::MAX, PAGE).await?;
        form.print_lines(&page)?;
        match page.last() {
            Some(last) => after = last.seq,
            None => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// Whether an event can be printed; it says so if not. The others are printed all the same.
fn is_readable(event: &StoredEvent) -> bool {
    let unreadable = ParsedEvent::try_from(event).err();
    if let Some(error) = &unreadable {
        failure::print(&format!("logkey: {error}"));
    }
    unreadable.is_none()
}

/// In which form events are printed.
enum Form {
    /// Each as it is stored.
    Stored,
    /// As the arguments ask for.
    Output(OutputArgs),
}

// === impl Form ===

impl Form {
    fn print(&self, events: &[StoredEvent]) -> Result<(), Failure> {
        match self {
            Self::Stored => events.iter().try_for_each(|event| print_text(&event.body))?,
            Self::Output(output) => print(&report::report(events)?, output)?,
        }
        Ok(())
    }

    /// Prints each event on a line, because nobody knows how many will follow.
    fn print_lines(&self, events: &[StoredEvent]) -> Result<(), Failure> {
        for event in events.iter().filter(|event| is_readable(event)) {
            let view = ParsedEvent::try_from(event)?;
            match self {
                Self::Stored => print_text(&event.body)?,
                Self::Output(output) => match output.format() {
                    None => {}
                    Some(Format::Json | Format::Yaml) => {
                        print_text(&to_json(&report::message(&view, event)).to_string())?;
                    }
                    Some(Format::Name) => print_text(&view.id)?,
                    Some(Format::Table | Format::Wide | Format::Csv) => print_text(&line(&view))?,
                },
            }
        }
        Ok(())
    }
}

fn line(event: &ParsedEvent) -> String {
    let resource = event.log_group.as_deref().or(event.resource.as_deref()).unwrap_or_default();
    logkey_client::output::escape(&format!(
        "{:>6}  {}  {}  {} {} {resource}",
        event.seq,
        report::short_id(event),
        report::seconds(event.time),
        event.action,
        report::outcome(event),
    ))
}
