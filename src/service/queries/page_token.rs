//! Page tokens: opaque, bound to the tenant and to what was asked.
//!
//! A page ends where the caller's size is reached, which may be in the middle of a page of AWS's. So a
//! token names AWS's page and the last log group that was looked at.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{domain::tenant::TenantId, service::error::Error};

/// Where the next page begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::service) struct PageCursor {
    /// AWS's token of the page to read; none for its first.
    pub(in crate::service) aws: Option<Box<str>>,
    /// The last name that was looked at on that page.
    pub(in crate::service) after: Option<Box<str>>,
}

/// What a token is bound to.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct TokenScope<'b> {
    pub(in crate::service) tenant: &'b TenantId,
    /// Everything else that the next request has to repeat.
    pub(in crate::service) scope: &'b str,
}

#[derive(Serialize, Deserialize)]
struct Token {
    bound: String,
    #[serde(flatten)]
    cursor: PageCursor,
}

// === impl Cursor ===

impl PageCursor {
    /// The cursor as a token.
    pub(in crate::service) fn encode(self, bound: TokenScope<'_>) -> Box<str> {
        let token = Token { bound: bound.digest(), cursor: self };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default()).into()
    }

    /// The cursor in a token; the first page's for the empty one.
    pub(in crate::service) fn decode(unverified_token: &str, bound: TokenScope<'_>) -> Result<Self, Error> {
        if unverified_token.is_empty() {
            return Ok(Self::default());
        }
        let read = || {
            let json = URL_SAFE_NO_PAD.decode(unverified_token).ok()?;
            let token: Token = serde_json::from_slice(&json).ok()?;
            (token.bound == bound.digest()).then_some(token.cursor)
        };
        read().ok_or_else(|| Error::Invalid {
            field: "page_token",
            problem: "is not the next_page_token of a page of this same request: repeat the request with the token that came with it, or leave the token empty to begin anew".into(),
        })
    }
}

// === impl Bound ===

impl TokenScope<'_> {
    fn digest(&self) -> String {
        let Self { tenant, scope: asked } = self;
        let text = format!("{tenant}\n{asked}");
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_only_for_the_tenant_and_the_request_it_was_made_for() {
        let (a, b): (TenantId, TenantId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let bound = TokenScope { tenant: &a, scope: "/app" };
        let cursor = PageCursor { aws: Some("aws".into()), after: Some("/app/web".into()) };
        let token = cursor.clone().encode(bound);

        assert_eq!(PageCursor::decode(&token, bound).unwrap(), cursor);
        assert!(PageCursor::decode(&token, TokenScope { tenant: &b, ..bound }).is_err());
        assert!(PageCursor::decode(&token, TokenScope { scope: "/", ..bound }).is_err());
        assert!(PageCursor::decode("garbage", bound).is_err());
        assert_eq!(PageCursor::decode("", bound).unwrap(), PageCursor::default());
    }
}
