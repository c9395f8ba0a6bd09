//! `logkey events list`.

use clap::Args;
use jiff::Timestamp;

use super::{
    filter::{FilterArgs, parse_time, timestamp},
    show,
};
use crate::{
    failure::Failure,
    output::{self, OutputArgs, Report, to_json},
    proto::{
        AuditEvent, AuditEventFilter, ListAuditEventsRequest, ListAuditEventsResponse,
        audit_service_client::AuditServiceClient,
    },
    session::Session,
    verbs::shared::PAGE_SIZE,
};

/// The arguments of `logkey events list`.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Only events at or after this time, or this long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Only events before this time, in the same forms
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// The maximum number of events
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

pub(super) async fn run(session: &Session, args: ListArgs, output: &OutputArgs) -> Result<(), Failure> {
    let filter = AuditEventFilter {
        start_time: args.since.map(timestamp),
        end_time: args.until.map(timestamp),
        ..args.filter.filter()
    };
    let events = fetch(session, &filter, args.limit).await?;
    let table = show::table(&events, "No event matches.");
    let response = ListAuditEventsResponse { events, next_page_token: String::new() };
    Ok(output::print(&Report::new(to_json(&response), table), output)?)
}

/// The newest events that match, at most so many.
pub(super) async fn fetch(
    session: &Session,
    filter: &AuditEventFilter,
    limit: usize,
) -> Result<Vec<AuditEvent>, Failure> {
    let (mut events, mut page_token) = (Vec::new(), String::new());
    while events.len() < limit {
        let remaining = i32::try_from(limit - events.len()).unwrap_or(PAGE_SIZE);
        let page_size = remaining.min(PAGE_SIZE);
        let request = ListAuditEventsRequest { page_size, page_token, filter: Some(filter.clone()) };
        let response = session.call(request, async |channel, request| {
            AuditServiceClient::new(channel).list_audit_events(request).await
        });
        let response = response.await?;
        events.extend(response.events);
        page_token = response.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    events.truncate(limit);
    Ok(events)
}
