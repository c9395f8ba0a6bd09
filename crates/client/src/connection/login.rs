//! What `logkey login` keeps: how to get tokens, and the tokens.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

/// A token is renewed so long before it expires: a call needs time.
const EXPIRY_MARGIN_SECONDS: i64 = 30;

/// How a context gets its tokens.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// The issuer, as in the claim `iss`.
    pub(crate) issuer: Url,
    pub(crate) client_id: String,
    /// A file with the secret of the client, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_secret_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) audience: Option<String>,
    /// The resource that the token is for (RFC 8707).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<Url>,
    #[serde(default)]
    pub(crate) grant: Grant,
    /// Whether the service gets the ID token instead of the access token.
    #[serde(default)]
    pub(crate) id_token: bool,
}

/// The flow that obtains the first token.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Grant {
    /// A person approves in a browser, on any device (RFC 8628).
    #[default]
    Device,
    /// The client itself is the caller.
    ClientCredentials,
}

/// The tokens of a login, as they are kept.
#[derive(Deserialize, Serialize)]
pub(crate) struct StoredTokens {
    pub(crate) token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<String>,
    /// In seconds since 1970. Absent if the issuer did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<i64>,
}

// === impl StoredTokens ===

impl StoredTokens {
    /// Whether the service may refuse the token soon.
    pub(crate) fn is_expiring(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|time| now.as_second() + EXPIRY_MARGIN_SECONDS >= time)
    }
}
