//! `logkey events follow`: a line for each event, as it happens.

use std::{cell::Cell, ops::ControlFlow};

use clap::Args;

use super::{filter::FilterArgs, show};
use crate::{
    failure::Failure,
    output::{self, Format, OutputArgs, to_json},
    proto::{AuditEvent, WatchAuditEventsRequest, audit_service_client::AuditServiceClient},
    session::Session,
    verbs::shared::time,
};

/// The arguments of `logkey events follow`.
#[derive(Args, Debug)]
pub(super) struct FollowArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Begin after the event at this position; 0 is the start of the log. By default, only new events
    #[arg(long, value_name = "POSITION")]
    after: Option<i64>,
    /// End after this many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

pub(super) async fn run(session: &Session, args: FollowArgs, output: &OutputArgs) -> Result<(), Failure> {
    let format = output.format().unwrap_or(Format::Table);
    if matches!(format, Format::Yaml | Format::Csv) {
        return Err(Failure::Usage("events follow prints table, wide, json or name".to_owned()));
    }
    let position = Cell::new(args.after);
    let filter = args.filter.filter();
    let mut remaining = args.limit.unwrap_or(u64::MAX);
    session
        .follow(
            || WatchAuditEventsRequest { after_position: position.get(), filter: Some(filter.clone()) },
            async |channel, request| AuditServiceClient::new(channel).watch_audit_events(request).await,
            |response| {
                for event in &response.events {
                    // A stream that is opened again can send an event twice.
                    if remaining == 0 || position.get().is_some_and(|position| event.position <= position) {
                        continue;
                    }
                    output::print_text(&line(event, format))?;
                    position.set(Some(event.position));
                    remaining -= 1;
                }
                position.set(Some(response.position).max(position.get()));
                Ok(if remaining == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            },
        )
        .await
}

/// One line; JSON is one document on each line.
fn line(event: &AuditEvent, format: Format) -> String {
    match format {
        Format::Json => to_json(event).to_string(),
        Format::Name => event.id.clone(),
        Format::Table | Format::Wide | Format::Yaml | Format::Csv => {
            let AuditEvent { position, kind, action, subject, resource, outcome, .. } = event;
            let mut line = format!(
                "{position} {} {kind} {action} {subject} {resource} {outcome}",
                time(event.time.as_ref())
            );
            if format == Format::Wide {
                line = format!("{line} {} {}", event.correlation_id, show::aws_requests(event));
            }
            output::escape(&line.split_whitespace().collect::<Vec<_>>().join(" "))
        }
    }
}
