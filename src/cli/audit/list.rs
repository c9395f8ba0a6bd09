//! `logkey audit list`: prints events as a table for people, or as the stored JSON for programs.

use std::{io::Write as _, process::ExitCode};

use clap::Args;

use super::{
    failure::{Failure, print},
    log_location::LogLocation,
    table,
};
use crate::{
    audit::parsed_event::ParsedEvent,
    config::parse_duration,
    domain::{reason::Reason, tenant::TenantId, time::Timestamp},
    ports::EventFilter,
};

/// How many events one query reads.
const PAGE: u32 = 500;
/// The outcome of a call that succeeded.
const OK: &str = "OK";

/// The arguments of `logkey audit list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    location: LogLocation,
    /// Only events of this tenant.
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Only events at or after this time, such as 2026-01-31T08:00:00Z, or this long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only events before this time, in the same forms.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Only events with this action, such as `AssociateKmsKey`.
    #[arg(long)]
    action: Option<String>,
    /// Only events with this outcome: OK, or a reason such as `NOT_ALLOWED`.
    #[arg(long, value_parser = outcome)]
    outcome: Option<String>,
    /// Only events of the call with this request id.
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Only events of this subject.
    #[arg(long)]
    subject: Option<String>,
    /// Only events about the resource with this ARN.
    #[arg(long, value_name = "ARN")]
    resource: Option<String>,
    /// The maximum number of events.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
    /// Print each event as it is stored: one JSON object on each line.
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
        ..EventFilter::default()
    };
    let mut found = Vec::new();
    let mut remaining = args.limit;
    while remaining > 0 {
        let before = found.last().map(|event: &crate::ports::StoredEvent| event.seq);
        let page = reader.list(&filter, before, remaining.min(PAGE)).await?;
        let Some(count) = u32::try_from(page.len()).ok().filter(|count| *count > 0) else { break };
        remaining = remaining.saturating_sub(count);
        found.extend(page);
    }
    let mut out = anstream::stdout().lock();
    if args.json {
        for event in &found {
            match ParsedEvent::try_from(event) {
                Ok(_) => writeln!(out, "{}", event.body)?,
                Err(error) => print(&format!("logkey: {error}")),
            }
        }
    } else {
        let readable =
            |event| ParsedEvent::try_from(event).map_err(|error| print(&format!("logkey: {error}"))).ok();
        let views: Vec<ParsedEvent> = found.iter().filter_map(readable).collect();
        writeln!(out, "{}", table::table(&views))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Parses an outcome. A misspelled one would match no event, which reads like "nothing happened".
fn outcome(text: &str) -> Result<String, String> {
    let known = text == OK || Reason::ALL.iter().any(|reason| reason.as_str() == text);
    let expected = "expected OK or a reason such as NOT_ALLOWED; docs/errors.md lists them";
    if known { Ok(text.to_owned()) } else { Err(expected.to_owned()) }
}

/// Parses a point in time, or a duration before now.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp::from_micros(at.as_microsecond()));
    }
    let ago = parse_duration(text);
    let ago =
        ago.ok_or("expected a time such as 2026-01-31T08:00:00Z, or a duration before now such as 2h")?;
    Ok(Timestamp::from_micros(jiff::Timestamp::now().as_microsecond()).minus(ago))
}
