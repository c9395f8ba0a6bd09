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
    /// Also search the archive if neither --since nor --until says when. It has no index, so this can take long
    #[arg(long)]
    archived: bool,
    /// The maximum number of events
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

pub(super) async fn run(session: &Session, args: ListArgs, output: &OutputArgs) -> Result<(), Failure> {
    let is_bounded = args.since.is_some() || args.until.is_some();
    let archive = if args.archived || is_bounded { Archive::Search } else { Archive::Skip };
    let filter = AuditEventFilter {
        start_time: args.since.map(timestamp),
        end_time: args.until.map(timestamp),
        ..args.filter.filter()
    };
    let Found { events, archived_through } = fetch(session, &filter, args.limit, archive).await?;
    let note = (archived_through > 0).then(|| {
        format!(
            "The events up to position {archived_through} are archived and were not searched: add --archived, or --since and --until."
        )
    });
    let table = show::table(&events, "No event matches.");
    let response = ListAuditEventsResponse { events, next_page_token: String::new(), archived_through };
    Ok(output::print(&Report::new(to_json(&response), table).notes(note), output)?)
}

/// Whether a search goes on in the archive, which has no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Archive {
    Search,
    Skip,
}

/// The events that a search found.
pub(super) struct Found {
    /// The events, newest first.
    pub(super) events: Vec<AuditEvent>,
    /// The position up to which the events are archived and were not searched; 0 if there are none.
    pub(super) archived_through: i64,
}

/// The newest events that match, at most so many.
pub(super) async fn fetch(
    session: &Session,
    filter: &AuditEventFilter,
    limit: usize,
    archive: Archive,
) -> Result<Found, Failure> {
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
        if response.archived_through > 0 && archive == Archive::Skip && events.len() < limit {
            return Ok(Found { events, archived_through: response.archived_through });
        }
    }
    events.truncate(limit);
    Ok(Found { events, archived_through: 0 })
}
