//! Lists a page of events, newest first. The search reads the log window by window and stops after a limited
//! time, so a filter that matches few events gives short pages instead of long waits.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::query::{AuditQueries, SCAN_WINDOW, authorize, fitting_count, restrict};
use crate::{
    ports::{EventFilter, StoredEvent},
    service::{context::Context, error::Error, queries::page_token::RequestTokens},
};

/// How long the search for one page may take.
const TIMEOUT: Duration = Duration::from_millis(500);

/// One page of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events, newest first.
    pub events: Vec<StoredEvent>,
    /// The token of the next page; empty on the last.
    pub next_page_token: Box<str>,
}

/// The position before which the next page begins. `None` on the first page.
#[derive(Default, Serialize, Deserialize)]
struct Cursor {
    before: Option<u64>,
}

impl AuditQueries {
    /// Lists one page of the events that match the filter and that the caller may see.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not read the audit log, the page token is invalid, or the store cannot
    /// be read.
    pub async fn list(
        &self,
        mut cx: Context,
        filter: EventFilter,
        page_size: u32,
        unverified_page_token: &str,
    ) -> Result<EventPage, Error> {
        let result = self.fetch_page(&mut cx, filter, page_size, unverified_page_token).await;
        cx.record_read(result)
    }

    async fn fetch_page(
        &self,
        cx: &mut Context,
        filter: EventFilter,
        page_size: u32,
        unverified_page_token: &str,
    ) -> Result<EventPage, Error> {
        let access = authorize(cx)?;
        let tokens = RequestTokens::of(cx, &format!("{:?}\n{filter:?}", access.tenant()));
        let Cursor { before } = tokens.open(unverified_page_token)?;
        let Some(filter) = restrict(&access, filter) else { return Ok(EventPage::default()) };
        let mut before = match before {
            Some(before) => before,
            None => self.head(cx).await?.saturating_add(1),
        };
        let max = usize::try_from(page_size).unwrap_or(usize::MAX);
        let started = Instant::now();
        let mut events: Vec<StoredEvent> = Vec::new();
        while before > 1 && events.len() < max && started.elapsed() < TIMEOUT {
            let from = before.saturating_sub(SCAN_WINDOW.saturating_add(1));
            let window = EventFilter { after: Some(from), ..filter.clone() };
            let remaining = u32::try_from(max - events.len()).unwrap_or(u32::MAX);
            let found = cx.in_long_turn(self.ports.log.list(&window, Some(before), remaining)).await?;
            let is_window_done = found.len() < usize::try_from(remaining).unwrap_or(usize::MAX);
            events.extend(found);
            let count = fitting_count(&events).min(events.len());
            if is_window_done && count == events.len() {
                before = from.saturating_add(1);
                continue;
            }
            events.truncate(count);
            before = events.last().map_or(before, |last| last.seq);
            break;
        }
        let next_page_token =
            if before > 1 { tokens.seal(Cursor { before: Some(before) }) } else { Box::default() };
        Ok(EventPage { events, next_page_token })
    }
}
