//! `logkey audit list`: events as a table for people, or as they were kept for programs.

use std::{io::Write as _, process::ExitCode};

use clap::Args;

use super::{Failure, LogLocation, table};
use crate::{
    audit::parsed_event::ParsedEvent,
    config::parse_duration,
    domain::{tenant::TenantId, time::Timestamp},
    ports::EventFilter,
};

/// How many events are read at once.
const PAGE: u32 = 500;

/// Which events, and in what form.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    location: LogLocation,
    /// Only of this tenant.
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Not before: a time such as 2026-01-31T08:00:00Z, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Before, in the same forms.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Only this action, such as `AssociateKmsKey`.
    #[arg(long)]
    action: Option<String>,
    /// Only this outcome: OK, or a reason such as `NOT_ALLOWED`.
    #[arg(long)]
    outcome: Option<String>,
    /// Only of the call with this request id.
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Only by this subject.
    #[arg(long)]
    subject: Option<String>,
    /// Only about the resource with this ARN.
    #[arg(long, value_name = "ARN")]
    resource: Option<String>,
    /// At most this many.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
    /// Print each event as it was kept: one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: ListArgs) -> Result<ExitCode, Failure> {
    let reader = args.location.open().await?.log;
    let filter = EventFilter {
        tenant: args.tenant,
        since: args.since,
        until: args.until,
        action: args.action,
        outcome: args.outcome,
        correlation: args.correlation,
        subject: args.subject,
        resource: args.resource,
        after: None,
    };
    let mut found = Vec::new();
    let mut left = args.limit;
    while left > 0 {
        let before = found.last().map(|event: &crate::ports::StoredEvent| event.seq);
        let page = reader.list(&filter, before, left.min(PAGE)).await?;
        let Some(count) = u32::try_from(page.len()).ok().filter(|count| *count > 0) else { break };
        left = left.saturating_sub(count);
        found.extend(page);
    }
    let mut out = anstream::stdout().lock();
    if args.json {
        for event in &found {
            writeln!(out, "{}", event.body)?;
        }
    } else {
        let views: Vec<ParsedEvent> = found.iter().map(ParsedEvent::try_from).collect::<Result<_, _>>()?;
        writeln!(out, "{}", table::table(&views))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A point in time, or how long ago it was.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp::from_micros(at.as_microsecond()));
    }
    let ago = parse_duration(text);
    let ago = ago.ok_or("a time such as 2026-01-31T08:00:00Z, or how long ago, such as 2h, is expected")?;
    Ok(Timestamp::from_micros(jiff::Timestamp::now().as_microsecond()).minus(ago))
}
