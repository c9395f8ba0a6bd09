//! A page of events, newest first. The log is looked through in stretches, and only for so long: a
//! filter that hardly anything fits gives short pages rather than long waits.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::query::{AuditQueries, SCAN_WINDOW, authorize, matching, restrict};
use crate::{
    domain::tenant::TenantId,
    ports::{EventFilter, StoredEvent},
    service::{context::Context, error::Error},
};

/// How long a page looks for more.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Some events, and where the rest is.
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
    /// A page of events that match the filter and that the caller may see.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
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
            let stretch = EventFilter { after: Some(from), ..filter.clone() };
            let left = u32::try_from(max - events.len()).unwrap_or(u32::MAX);
            let found = self.scan(self.ports.log.list(&stretch, Some(before), left)).await?;
            let whole = found.len() < usize::try_from(left).unwrap_or(usize::MAX);
            events.extend(found);
            let fits = matching(&events).min(events.len());
            if whole && fits == events.len() {
                before = from.saturating_add(1);
                continue;
            }
            events.truncate(fits);
            before = events.last().map_or(before, |last| last.seq);
            break;
        }
        let next_page_token = if before > 1 { encode(bound, before) } else { Box::default() };
        Ok(EventPage { events, next_page_token })
    }
}

/// What a token is good for: this tenant, what stands open to it, and this filter.
fn token_scope(caller: &TenantId, open: Option<&TenantId>, filter: &EventFilter) -> String {
    let text = format!("audit\n{caller}\n{open:?}\n{filter:?}");
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
    read().map(Some).ok_or_else(|| Error::Invalid {
        field: "page_token",
        problem: "is not the next_page_token of a page of this same request: repeat the request with the token that came with it, or leave the token empty to begin anew".into(),
    })
}
