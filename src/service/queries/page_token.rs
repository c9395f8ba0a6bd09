//! Page tokens: opaque, and bound to the tenant and the request. A page ends when it has the requested size,
//! which may be in the middle of one of AWS's pages. So a token contains AWS's page token and the last name
//! that was processed.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    domain::tenant::TenantId,
    service::error::{Error, RequestError},
};

/// The start of the next page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::service) struct PageCursor {
    /// AWS's token of the page to read. `None` for its first page.
    pub(in crate::service) aws: Option<Box<str>>,
    /// The last name of that page that was processed.
    pub(in crate::service) after: Option<Box<str>>,
}

/// The tenant and the request that a token is bound to.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct TokenScope<'b> {
    pub(in crate::service) tenant: &'b TenantId,
    /// All parameters that the next request has to repeat.
    pub(in crate::service) scope: &'b str,
}

#[derive(Serialize, Deserialize)]
struct Token {
    bound: String,
    #[serde(flatten)]
    cursor: PageCursor,
}

// === impl PageCursor ===

impl PageCursor {
    /// Encodes the cursor as a token.
    pub(in crate::service) fn encode(self, bound: TokenScope<'_>) -> Box<str> {
        let token = Token { bound: bound.digest(), cursor: self };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default()).into()
    }

    /// Decodes the cursor of a token. The empty token is the cursor of the first page.
    pub(in crate::service) fn decode(unverified_token: &str, bound: TokenScope<'_>) -> Result<Self, Error> {
        if unverified_token.is_empty() {
            return Ok(Self::default());
        }
        let read = || {
            let json = URL_SAFE_NO_PAD.decode(unverified_token).ok()?;
            let token: Token = serde_json::from_slice(&json).ok()?;
            (token.bound == bound.digest()).then_some(token.cursor)
        };
        read().ok_or_else(|| Error::Request(RequestError::Invalid {
            field: "page_token",
            problem: "is not the next_page_token of this request: repeat the request with its own token, or omit the token to start again".into(),
        }))
    }
}

// === impl TokenScope ===

impl TokenScope<'_> {
    fn digest(&self) -> String {
        let Self { tenant, scope } = self;
        let text = format!("{tenant}\n{scope}");
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_only_for_its_tenant_and_request() {
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
