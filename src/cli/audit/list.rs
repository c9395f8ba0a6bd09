//! `logkey audit list`: prints events, newest first, or as they happen.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use logkey_client::output::{OutputArgs, RowPrinter, print, print_text};

use super::{
    archived::WholeLog,
    failure::{self, Failure},
    filter::FilterArgs,
    log_location::LogLocation,
    report,
};
use crate::{
    audit::parsed_event::ParsedEvent,
    config::ArchiveTarget,
    ports::{EventFilter, StoredEvent},
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
    /// The folder or bucket of the archive of older events [default: `audit.archive`].
    #[arg(long, value_name = "DIR")]
    archive: Option<ArchiveTarget>,
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
    let log = WholeLog::open(&args.location, args.archive).await?;
    let filter = EventFilter::from(args.filter);
    let form = if args.json { Form::Stored } else { Form::Output(args.output) };
    if args.follow {
        return follow(&log, filter, args.limit, &form).await;
    }
    let mut found = log.newest(&filter, args.limit).await?;
    found.retain(is_readable);
    form.print(&found)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the newest `limit` events, and then those that follow. It ends when the reader of the output does.
async fn follow(log: &WholeLog, filter: EventFilter, limit: u32, form: &Form) -> Result<ExitCode, Failure> {
    let mut after = end(log).await?;
    let mut first = log.newest(&filter, limit).await?;
    first.reverse();
    after = first.last().map_or(after, |last| last.seq.max(after));
    let mut printer = form.printer();
    form.print_lines(&mut printer, &first)?;
    loop {
        let through = end(log).await?;
        let next = EventFilter { after: Some(after), ..filter.clone() };
        let page = log.reader.next(&next, through, PAGE).await?;
        if let Some(first) = log.first_stored().await?.filter(|first| first.seq > after + 1) {
            return Err(format!(
                "events {} to {} were archived before they were printed: list them with --archive",
                after + 1,
                first.seq - 1
            )
            .into());
        }
        form.print_lines(&mut printer, &page)?;
        let is_full = page.len() >= PAGE as usize;
        after = page.last().filter(|_| is_full).map_or(through.max(after), |last| last.seq);
        if !is_full {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// The position of the newest event.
async fn end(log: &WholeLog) -> Result<u64, Failure> {
    Ok(log.reader.list(&EventFilter::default(), None, 1).await?.first().map_or(0, |event| event.seq))
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
    fn print_lines(&self, printer: &mut RowPrinter, events: &[StoredEvent]) -> Result<(), Failure> {
        for event in events.iter().filter(|event| is_readable(event)) {
            match self {
                Self::Stored => print_text(&event.body)?,
                Self::Output(_) => {
                    let view = ParsedEvent::try_from(event)?;
                    printer.print(&report::row(&view, event), &line(&view))?;
                }
            }
        }
        Ok(())
    }

    fn printer(&self) -> RowPrinter {
        match self {
            Self::Stored => RowPrinter::new(&OutputArgs::default()),
            Self::Output(output) => RowPrinter::new(output),
        }
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
