//! Page tokens: sealed, and bound to the tenant, the request and their age. A page ends when it has the
//! requested size, which may be in the middle of one of AWS's pages. So a token contains AWS's page token,
//! which can contain names that the caller may not see.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::page_keys::{LIFETIME, PageTokens};
use crate::{
    domain::time::Timestamp,
    service::{
        context::Context,
        error::{Error, RequestError},
    },
};

/// A token has a multiple of this number of bytes, so that its length does not reveal that of a hidden name.
const PADDING: usize = 256;

/// Seals and opens the tokens of one request.
pub(in crate::service) struct RequestTokens {
    keys: Arc<PageTokens>,
    /// What the next request has to repeat.
    bound: String,
    now: Timestamp,
}

/// The start of the next page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::service) struct PageCursor {
    /// AWS's token of the page to read. `None` for its first page.
    pub(in crate::service) aws: Option<Box<str>>,
    /// The last name of that page that was processed.
    pub(in crate::service) after: Option<Box<str>>,
}

#[derive(Serialize, Deserialize)]
struct TokenContent<C> {
    issued_at: i64,
    cursor: C,
}

// === impl RequestTokens ===

impl RequestTokens {
    /// The tokens of this call. `scope` has all parameters that the next request has to repeat.
    pub(in crate::service) fn of(cx: &Context, scope: &str) -> Self {
        let bound = format!("{}\n{}\n{scope}", cx.call.action, cx.caller.tenant);
        Self { keys: Arc::clone(&cx.ports().page_tokens), bound, now: cx.ports().clock.now() }
    }

    /// Seals the cursor as a token.
    pub(in crate::service) fn seal<C: Serialize>(&self, cursor: C) -> Box<str> {
        let seal = || {
            let mut text =
                serde_json::to_vec(&TokenContent { issued_at: self.now.as_secs(), cursor }).ok()?;
            // JSON may end with spaces.
            text.resize(text.len().next_multiple_of(PADDING), b' ');
            self.keys.seal(&self.bound, text).map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
        };
        // Sealing does not fail with a key of the right length. Without a token the list would end here, so the
        // token is one that the next request is refused with.
        seal().unwrap_or_else(|| "unsealed".to_owned()).into()
    }

    /// Opens a token. The empty token is the first page. Whatever is wrong with another one, the error is the
    /// same.
    pub(in crate::service) fn open<C: DeserializeOwned + Default>(
        &self,
        unverified_token: &str,
    ) -> Result<C, Error> {
        if unverified_token.is_empty() {
            return Ok(C::default());
        }
        self.read(unverified_token).ok_or_else(|| Error::Request(RequestError::Invalid {
            field: "page_token",
            problem: "is not the next_page_token of this request, or is older than a day: repeat the request with its own token, or omit the token to start again".into(),
        }))
    }

    fn read<C: DeserializeOwned>(&self, unverified_token: &str) -> Option<C> {
        let bytes = URL_SAFE_NO_PAD.decode(unverified_token).ok()?;
        let text = self.keys.open(&self.bound, &bytes, self.now)?;
        let TokenContent { issued_at, cursor } = serde_json::from_slice(&text).ok()?;
        // A replica's clock may be ahead of this one's, so only the age counts.
        (self.now < Timestamp::from_secs(issued_at).plus(LIFETIME)).then_some(cursor)
    }
}

#[cfg(test)]
mod tests;
