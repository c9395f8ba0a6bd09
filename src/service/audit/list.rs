//! Lists a page of events, newest first. The search reads the log window by window and stops after a limited
//! time, so a filter that matches few events gives short pages instead of long waits.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::query::{AuditQueries, SCAN_WINDOW, authorize, fitting_count, restrict};
use crate::{
    domain::tenant::TenantId,
    ports::{EventFilter, StoredEvent},
    service::{
        context::Context,
        error::{Error, RequestError},
    },
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

#[derive(Serialize, Deserialize)]
struct Token {
    bound: String,
    before: u64,
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
        let bound = token_scope(&cx.caller.tenant, access.tenant(), &filter);
        let before = decode(unverified_page_token, &bound)?;
        let Some(filter) = restrict(&access, filter) else { return Ok(EventPage::default()) };
        let mut before = match before {
            Some(before) => before,
            None => self.head().await?.saturating_add(1),
        };
        let max = usize::try_from(page_size).unwrap_or(usize::MAX);
        let started = Instant::now();
        let mut events: Vec<StoredEvent> = Vec::new();
        while before > 1 && events.len() < max && started.elapsed() < TIMEOUT {
            let from = before.saturating_sub(SCAN_WINDOW.saturating_add(1));
            let window = EventFilter { after: Some(from), ..filter.clone() };
            let remaining = u32::try_from(max - events.len()).unwrap_or(u32::MAX);
            let found = self.scan(self.ports.log.list(&window, Some(before), remaining)).await?;
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
        let next_page_token = if before > 1 { encode(bound, before) } else { Box::default() };
        Ok(EventPage { events, next_page_token })
    }
}

/// The hash of what a token is bound to: the caller's tenant, the tenant whose events it may read, and the
/// filter.
fn token_scope(caller: &TenantId, visible: Option<&TenantId>, filter: &EventFilter) -> String {
    let text = format!("audit\n{caller}\n{visible:?}\n{filter:?}");
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

fn encode(bound: String, before: u64) -> Box<str> {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&Token { bound, before }).unwrap_or_default()).into()
}

fn decode(unverified_token: &str, bound: &str) -> Result<Option<u64>, Error> {
    if unverified_token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let json = URL_SAFE_NO_PAD.decode(unverified_token).ok()?;
        let token: Token = serde_json::from_slice(&json).ok()?;
        (token.bound == bound).then_some(token.before)
    };
    read().map(Some).ok_or_else(|| Error::Request(RequestError::Invalid {
        field: "page_token",
        problem: "is not the next_page_token of this request: repeat the request with its own token, or omit the token to start again".into(),
    }))
}
