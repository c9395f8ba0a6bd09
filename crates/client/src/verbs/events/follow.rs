//! `logkey events follow`: a line for each event, as it happens.

use std::{cell::Cell, ops::ControlFlow};

use clap::Args;

use super::{filter::FilterArgs, show};
use crate::{
    failure::Failure,
    output::{self, OutputArgs, Report, RowPrinter, to_json},
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
    let mut printer = RowPrinter::new(output);
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
                    let row = show::table(std::slice::from_ref(event), "");
                    let line = line(event, printer.is_wide());
                    printer.print(&Report::new(to_json(event), row), &line)?;
                    position.set(Some(event.position));
                    remaining -= 1;
                }
                position.set(Some(response.position).max(position.get()));
                Ok(if remaining == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            },
        )
        .await
}

/// The line for people.
fn line(event: &AuditEvent, wide: bool) -> String {
    let AuditEvent { position, kind, action, subject, resource, outcome, .. } = event;
    let mut line =
        format!("{position} {} {kind} {action} {subject} {resource} {outcome}", time(event.time.as_ref()));
    if wide {
        line = format!("{line} {} {}", event.correlation_id, show::aws_requests(event));
    }
    output::escape(&line.split_whitespace().collect::<Vec<_>>().join(" "))
}
