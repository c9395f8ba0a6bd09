//! A token that `logkey login` obtained: how to get another one, and where it is kept.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{oauth, token::Token};
use crate::failure::Failure;

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

/// A login with the file of its tokens.
#[derive(Debug)]
pub(crate) struct LoginSource {
    pub(crate) login: Login,
    pub(crate) file: PathBuf,
}

impl LoginSource {
    /// The stored token, or another one if it expires.
    pub(crate) async fn token(&self) -> Result<Token, Failure> {
        let stored = self.read()?;
        let valid = stored.as_ref().filter(|stored| !stored.is_expiring(Timestamp::now()));
        match valid {
            Some(stored) => self.parse(&stored.token),
            None => self.renew_stored(stored).await,
        }
    }

    /// Another token, because the service refused the stored one.
    pub(crate) async fn renew(&self) -> Result<Token, Failure> {
        let stored = self.read()?;
        self.renew_stored(stored).await
    }

    /// Keeps tokens. Only the owner of the file may read it.
    pub(crate) fn write(&self, tokens: &StoredTokens) -> Result<(), Failure> {
        let text = serde_json::to_string(tokens).unwrap_or_default();
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let written = fs::create_dir_all(folder).and_then(|()| {
            // A temporary file has the mode 0600.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.persist(&self.file).map(drop).map_err(|error| error.error)
        });
        written.map_err(|error| Failure::file("write", &self.file, &error))
    }

    async fn renew_stored(&self, stored: Option<StoredTokens>) -> Result<Token, Failure> {
        let refresh_token = stored.and_then(|stored| stored.refresh_token);
        let tokens = oauth::renew(&self.login, refresh_token).await?;
        self.write(&tokens)?;
        self.parse(&tokens.token)
    }

    fn read(&self) -> Result<Option<StoredTokens>, Failure> {
        match fs::read_to_string(&self.file) {
            // A file that cannot be read is as good as none: a new login replaces it.
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::file("read", &self.file, &error)),
        }
    }

    fn parse(&self, text: &str) -> Result<Token, Failure> {
        text.parse().map_err(|error: String| Failure::file("use", &self.file, &error))
    }
}

impl StoredTokens {
    fn is_expiring(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|time| now.as_second() + EXPIRY_MARGIN_SECONDS >= time)
    }
}
