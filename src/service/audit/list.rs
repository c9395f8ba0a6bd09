//! Lists a page of events, newest first. The search reads the log window by window, first the store and then the archive,
//! and stops after a limited time, so a filter that matches few events gives short pages instead of long waits.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    archived::BackwardSearch,
    query::{AuditQueries, authorize, fitting_count, restrict},
};
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
    /// The position of the newest archived event if the next page continues in the archive; otherwise 0.
    pub archived_through: u64,
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
        let before = match before {
            Some(before) => before,
            None => self.head(cx).await?.saturating_add(1),
        };
        let mut search = BackwardSearch { filter, before, first_stored: 0 };
        let max = usize::try_from(page_size).unwrap_or(usize::MAX);
        let started = Instant::now();
        let mut events: Vec<StoredEvent> = Vec::new();
        while search.before > 1 && events.len() < max && started.elapsed() < TIMEOUT {
            let remaining = u32::try_from(max - events.len()).unwrap_or(u32::MAX);
            let was_in_archive = search.is_in_archive();
            match self.search_back(cx, &mut search, remaining).await {
                Ok(found) => events.extend(found),
                // The next page fails. Until then the caller gets what was found.
                Err(_error) if search.is_in_archive() && search.before < before => break,
                Err(error) => return Err(error),
            }
            let count = fitting_count(&events).min(events.len());
            if count < events.len() {
                events.truncate(count);
                search.before = events.last().map_or(search.before, |last| last.seq);
                break;
            }
            // A page ends where the archive begins, so that the caller can decide whether to go on.
            if search.is_in_archive() && !was_in_archive && search.before < before {
                break;
            }
        }
        let archived_through = if search.is_in_archive() { search.first_stored.saturating_sub(1) } else { 0 };
        let cursor = Cursor { before: Some(search.before) };
        let next_page_token = if search.before > 1 { tokens.seal(cursor) } else { Box::default() };
        Ok(EventPage { events, next_page_token, archived_through })
    }
}
