//! A token that `logkey login` obtained: how to get another one, and where it is kept.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    bearer::Token,
    login::{Login, StoredTokens},
    oauth,
};
use crate::failure::Failure;

/// A login with the file of its tokens.
#[derive(Debug)]
pub(crate) struct LoginSource {
    pub(crate) login: Login,
    pub(crate) file: PathBuf,
}

// === impl LoginSource ===

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
